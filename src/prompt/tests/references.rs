//! Names, labels and references.

use super::said;
use crate::prompt::{Reference, VersionRef, check_label, check_name};

#[test]
fn reads_and_writes_every_form() {
    let cases = [
        ("a", VersionRef::Latest),
        ("enrichment/researcher@7", VersionRef::Number(7)),
        ("a@production", VersionRef::Label("production".into())),
        ("a@v1.2-rc_3", VersionRef::Label("v1.2-rc_3".into())),
        ("a@sha256:ab12", VersionRef::Digest("ab12".into())),
    ];
    for (text, version) in cases {
        let reference: Reference = text.parse().expect("a reference");
        assert_eq!(reference.version, version, "{text}");
        assert_eq!(reference.to_string(), text);
    }
    let same = |a: &str, b: &str| assert_eq!(a.parse::<Reference>().unwrap(), b.parse().unwrap());
    same("a@latest", "a");
    same("a@007", "a@7");
    same("a@sha256:AB12", "a@sha256:ab12");
}

#[test]
fn refuses_what_is_none() {
    let long = "a".repeat(201);
    for name in ["", "/", "a/", "/a", "a//b", "7", "é", "a b", "a:b", "a@b", long.as_str()] {
        assert!(check_name(name).is_err(), "{name}");
    }
    for name in ["a", "7a", "7/8", "a/b/c", ".", "_", "A-b.c", &long[1..]] {
        check_name(name).unwrap();
    }
    for label in ["", "latest", "12", "a/b", "sha256:ab12", "é", "a b", long.as_str()] {
        assert!(check_label(label).is_err(), "{label}");
    }
    for reference in
        ["a@", "@1", "a@0", "a@4294967296", "a@sha256:abc", "a@sha256:xyzw", "a@b@c", "a@sha256:"]
    {
        assert!(reference.parse::<Reference>().is_err(), "{reference}");
    }
}

#[test]
fn says_what_a_reference_is() {
    let refused = |text: &str| said(&text.parse::<Reference>().unwrap_err());
    insta::assert_snapshot!(refused("a@0"), @r#"
    `0` is no version
    hint: versions are numbered 1, 2, 3 and so on
    "#);
    insta::assert_snapshot!(refused("a@sha256:xy"), @r#"
    `sha256:xy` is no digest of a version
    hint: write 4 to 64 hexadecimal digits after `sha256:`
    "#);
    insta::assert_snapshot!(refused("a b"), @r#"
    `a b` is no name for a prompt
    hint: a name is ASCII letters, digits, `.`, `_` and `-`, in parts with `/` between, not only digits, at most 200 characters: `enrichment/summariser`
    "#);
    insta::assert_snapshot!(said(&check_label("7").unwrap_err()), @r#"
    `7` cannot be a label
    hint: a number is a version; a label has a letter in it
    "#);
}
