//! Which reported names resolve, and which must not.

use super::{Catalogue, EntryKey, UserNames};

fn resolve(provider: &str, model: &str) -> Option<String> {
    let key = Catalogue::vendored().resolve(provider, model, &UserNames::default())?;
    Some(format!("{} {}", key.provider, key.model))
}

#[test]
fn reported_names_resolve() {
    for (provider, model, expected) in [
        ("openai", "gpt-4o", "openai gpt-4o"),
        ("", "gpt-4o", "openai gpt-4o"),
        ("", "openai/gpt-4o", "openai gpt-4o"),
        ("", "claude-sonnet-4-5-20250929", "anthropic claude-sonnet-4-5"),
        ("", "gemini/gemini-2.5-flash", "google gemini-2.5-flash"),
        ("gemini", "gemini/gemini-2.5-flash", "google gemini-2.5-flash"),
        ("gcp.gemini", "models/gemini-2.5-flash", "google gemini-2.5-flash"),
        ("gcp.vertex_ai", "publishers/google/models/gemini-2.5-flash", "google gemini-2.5-flash"),
        ("gcp.vertex_ai", "claude-sonnet-4-5@20250929", "google claude-sonnet-4-5"),
        ("azure.ai.openai", "o3-mini", "azure o3-mini"),
        ("x_ai", "grok-4.3", "x-ai grok-4.3"),
        ("groq", "openai/gpt-oss-120b", "groq openai/gpt-oss-120b"),
        ("zai", "glm-4.5-air", "zai GLM-4.5-Air"),
        ("mistral_ai", "codestral-2508", "mistral codestral-2508"),
        ("", "codestral-2508", "mistral codestral-2508"),
    ] {
        assert_eq!(resolve(provider, model).as_deref(), Some(expected), "{provider:?} {model:?}");
    }
    for region in ["", "us.", "eu.", "apac.", "global."] {
        let model = format!("{region}anthropic.claude-sonnet-4-5-20250929-v1:0");
        let found = resolve("aws.bedrock", &model).unwrap_or_default();
        assert!(found.contains("claude-sonnet-4-5"), "{model}: {found}");
    }
}

#[test]
fn siblings_and_strangers_do_not() {
    let mut wrong = Vec::new();
    for (provider, model) in [
        ("openai", "gpt-4o-ultra-mini"),
        ("", "gpt-4o-ultra-mini"),
        ("openai", "gpt-5-huge"),
        ("openai", "gpt-4.1-pico"),
        ("openai", "gpt-6.9"),
        ("openai", "o3-ultra"),
        ("openai", "o9"),
        ("openai", "openai/gpt-4o-ultra-mini-2026-01-01"),
        ("openai", "text-embedding-4-small"),
        ("openai", ""),
        ("anthropic", "claude-sonnet-9"),
        ("", "claude-sonnet-9"),
        ("anthropic", "claude-opus-9-20261111"),
        ("anthropic", "claude-nova-5"),
        ("google", "gemini-9-flash"),
        ("google", "gemini-2.5"),
        ("deepseek", "deepseek-v9"),
        ("x-ai", "grok-99"),
        ("mistral", "mistral-gigantic"),
        ("cohere", "command-z"),
        ("aws", "us.anthropic.claude-sonnet-9-v1:0"),
        ("aws", "amazon.nova-maxi-v1:0"),
        ("azure", "gpt-9"),
        ("groq", "gpt-4o"),
        ("my-gateway", "gpt-4o"),
        ("openrouter", "openai/gpt-4o:gratis"),
        ("", "some-model"),
        ("", "my-gateway/gpt-4o-ultra-mini"),
    ] {
        if let Some(found) = resolve(provider, model) {
            wrong.push(format!("{provider:?} {model:?}: {found}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_users_names_come_first() {
    let mut user = UserNames::default();
    let own = EntryKey::new("acme", "gpt-4o");
    user.aliases.insert((String::new(), "house-model".to_owned()), EntryKey::new("openai", "gpt-4o"));
    user.aliases.insert(("openai".to_owned(), "gpt-4o".to_owned()), EntryKey::new("openai", "contract"));
    user.prices.insert(own.clone());
    let resolve = |provider: &str, model: &str| Catalogue::vendored().resolve(provider, model, &user);
    assert_eq!(resolve("anything", "house-model"), Some(EntryKey::new("openai", "gpt-4o")));
    assert_eq!(resolve("", "house-model-2026-01-01"), Some(EntryKey::new("openai", "gpt-4o")));
    assert_eq!(resolve("openai", "gpt-4o"), Some(EntryKey::new("openai", "contract")));
    assert_eq!(resolve("acme", "gpt-4o"), Some(own.clone()));
    assert_eq!(resolve("acme", "acme/gpt-4o@v2"), Some(own));
    assert_eq!(resolve("acme", "gpt-4o-mini"), None);
}

/// A sibling of every model of the base. What resolves does so because a curated clause of its provider (or
/// of one that it falls back to) takes the whole name: asmm's own rules accept none.
#[test]
fn invented_siblings_resolve_by_the_curators_word_only() {
    let catalogue = Catalogue::vendored();
    let takes = |id: &str, name: &str| {
        let providers = catalogue.providers.iter().filter(|p| p.id == id);
        let mut clauses = providers.flat_map(|p| &p.models).filter_map(|(_, clause)| clause.as_ref());
        clauses.any(|clause| clause.matches(name))
    };
    let mut accepted = 0;
    for provider in &catalogue.providers {
        for (id, _) in &provider.models {
            let sibling = format!("{id}-zzmini");
            let Some(found) = resolve(&provider.id, &sibling) else { continue };
            let name = sibling.to_ascii_lowercase();
            let by_clause =
                std::iter::once(&provider.id).chain(&provider.fallback).any(|id| takes(id, &name));
            assert!(by_clause, "{sibling}: {found}");
            accepted += 1;
        }
    }
    assert_eq!(accepted, 154, "of 2,330; a refresh of the catalogue may move it");
}
