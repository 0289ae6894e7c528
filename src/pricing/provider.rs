//! Which of the catalogue's providers a reported provider name means.

use super::catalogue::{Catalogue, Provider};

/// Where to look a model up: a provider with curated clauses, and `LiteLLM`'s lists for the same provider.
pub(super) struct Scope<'a> {
    pub(super) provider: Option<&'a Provider>,
    pub(super) groups: Vec<&'a str>,
}

/// Reported names that the catalogue's own clauses miss or would send to the wrong provider (`azure_openai`
/// contains `openai`). Among them OpenTelemetry's well-known values of `gen_ai.provider.name`.
const REPORTED: [(&str, &str); 34] = [
    ("azure.ai.openai", "azure"),
    ("azure.ai.inference", "azure"),
    ("az.ai.openai", "azure"),
    ("az.ai.inference", "azure"),
    ("azure_openai", "azure"),
    ("azure-openai", "azure"),
    ("azureopenai", "azure"),
    ("azure openai", "azure"),
    ("azure_ai", "azure"),
    ("azure_text", "azure"),
    ("gcp.gen_ai", "google"),
    ("gcp.gemini", "google"),
    ("gcp.vertex_ai", "google"),
    ("vertex_ai-anthropic_models", "google"),
    ("vertex_ai-mistral_models", "google"),
    ("vertex_ai-openai_models", "google"),
    ("vertex_ai-deepseek_models", "google"),
    ("anthropic_vertex", "google"),
    ("anthropic_bedrock", "aws"),
    ("aws", "aws"),
    ("x_ai", "x-ai"),
    ("x.ai", "x-ai"),
    ("grok", "x-ai"),
    ("mistral_ai", "mistral"),
    ("codestral", "mistral"),
    ("text-completion-codestral", "mistral"),
    ("together.ai", "together"),
    ("togetherai", "together"),
    ("fireworks_ai", "fireworks"),
    ("fireworks.ai", "fireworks"),
    ("fireworks_ai-embedding-models", "fireworks"),
    ("z.ai", "zai"),
    ("zhipu", "zhipuai"),
    ("ibm.watsonx.ai", "watsonx"),
];

/// `LiteLLM`'s keys for a provider that it names otherwise; `vertex_ai-…` are found by their prefix.
const GROUPS: [(&str, &[&str]); 12] = [
    ("aws", &["bedrock", "bedrock_converse", "bedrock_mantle", "amazon_nova"]),
    ("azure", &["azure", "azure_ai", "azure_text"]),
    ("google", &["gemini", "vertex_ai"]),
    ("x-ai", &["xai"]),
    ("together", &["together_ai"]),
    ("fireworks", &["fireworks_ai", "fireworks_ai-embedding-models"]),
    ("moonshotai", &["moonshot"]),
    ("voyageai", &["voyage"]),
    ("github-copilot", &["github_copilot"]),
    ("cohere", &["cohere", "cohere_chat"]),
    ("mistral", &["mistral", "codestral", "text-completion-codestral"]),
    ("openai", &["openai", "text-completion-openai"]),
];

impl Catalogue {
    /// The catalogue's id of the provider that a reported name means, if it knows the provider.
    #[must_use]
    pub fn provider_id(&self, reported: &str) -> Option<&str> {
        self.scope(reported).and_then(|scope| scope.provider).map(|provider| provider.id.as_str())
    }

    /// The scope of a reported provider: by id, by the table, by the providers' clauses, or one that only
    /// `LiteLLM` knows. An unknown provider has none.
    pub(super) fn scope(&self, reported: &str) -> Option<Scope<'_>> {
        let name = reported.trim().to_ascii_lowercase();
        let named = REPORTED.iter().find(|(from, _)| *from == name).map_or(name.as_str(), |(_, to)| to);
        let by_id = || self.providers.iter().find(|provider| provider.id == named);
        let by_clause = || {
            let matches = |p: &&Provider| p.clause.as_ref().is_some_and(|clause| clause.matches(named));
            self.providers.iter().find(matches)
        };
        let provider = by_id().or_else(by_clause);
        let id = provider.map_or(named, |provider| provider.id.as_str());
        let mut groups: Vec<&str> = Vec::new();
        // The key that was reported goes first: `vertex_ai` is not `gemini`.
        let listed = GROUPS.iter().find(|(of, _)| *of == id).map(|(_, keys)| *keys).unwrap_or_default();
        for key in [name.as_str(), id].iter().chain(listed) {
            if let Some((group, _)) = self.groups.get_key_value(*key)
                && !groups.contains(&group.as_str())
            {
                groups.push(group);
            }
        }
        if id == "google" {
            let mut vertex: Vec<&str> =
                self.groups.keys().map(String::as_str).filter(|g| g.starts_with("vertex_ai-")).collect();
            vertex.sort_unstable();
            vertex.retain(|group| !groups.contains(group));
            groups.extend(vertex);
        }
        (provider.is_some() || !groups.is_empty()).then_some(Scope { provider, groups })
    }

    /// The providers whose models are named like `model`, in the catalogue's order.
    pub(super) fn scopes_of_model(&self, model: &str) -> Vec<Scope<'_>> {
        let name = model.to_ascii_lowercase();
        self.providers
            .iter()
            .filter(|provider| provider.model_match.as_ref().is_some_and(|clause| clause.matches(&name)))
            .filter_map(|provider| self.scope(&provider.id))
            .collect()
    }
}

/// The path that `LiteLLM` puts before the names of a group's models.
pub(super) fn group_path(group: &str) -> &str {
    if group.starts_with("vertex_ai-") { "vertex_ai" } else { group }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn well_known_provider_names_land() {
        for (reported, id) in [
            ("openai", "openai"),
            ("OpenAI", "openai"),
            ("anthropic", "anthropic"),
            ("aws.bedrock", "aws"),
            ("bedrock_converse", "aws"),
            ("azure.ai.openai", "azure"),
            ("azure.ai.inference", "azure"),
            ("azure_openai", "azure"),
            ("gcp.vertex_ai", "google"),
            ("gcp.gemini", "google"),
            ("gcp.gen_ai", "google"),
            ("vertex_ai", "google"),
            ("gemini", "google"),
            ("vertex_ai-anthropic_models", "google"),
            ("cohere", "cohere"),
            ("deepseek", "deepseek"),
            ("groq", "groq"),
            ("mistral_ai", "mistral"),
            ("perplexity", "perplexity"),
            ("x_ai", "x-ai"),
            ("xai", "x-ai"),
            ("together_ai", "together"),
            ("fireworks_ai", "fireworks"),
            ("moonshot", "moonshotai"),
        ] {
            let scope = Catalogue::vendored().scope(reported);
            assert_eq!(scope.and_then(|s| s.provider).map(|p| p.id.as_str()), Some(id), "{reported}");
        }
        let watsonx = Catalogue::vendored().scope("ibm.watsonx.ai").unwrap();
        assert_eq!(watsonx.groups, ["watsonx"]);
        assert!(Catalogue::vendored().scope("my-gateway").is_none());
    }

    #[test]
    fn every_name_in_the_tables_exists() {
        let catalogue = Catalogue::vendored();
        let known = |id: &str| catalogue.providers.iter().any(|p| p.id == id);
        for (_, id) in REPORTED {
            assert!(known(id) || catalogue.groups.contains_key(id), "{id}");
        }
        for (id, groups) in GROUPS {
            assert!(known(id), "{id}");
            for group in groups {
                assert!(catalogue.groups.contains_key(*group), "{group}");
            }
        }
    }
}
