//! The key of the fingerprints: made once, for its owner alone, and never a reason not to sanitise.

use super::{REPLY, planted::email, with_reply};
use std::os::unix::fs::PermissionsExt;

#[test]
fn the_key_is_made_once_for_its_owner() {
    let sandbox = crate::cli::sqlite();
    with_reply(&sandbox);
    let path = sandbox.path().join("home/.config/asmm/guard.key");
    let key = std::fs::read_to_string(&path).unwrap();
    assert!(key.trim().len() == 64 && key.trim().bytes().all(|b| b.is_ascii_hexdigit()));
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    sandbox.run(&["prompts", "render", "support/reply", "--input", "text=x"]).success();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), key);
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
    let said = sandbox.run(&["prompts", "render", "support/reply", "--input", "text=x"]);
    assert!(
        said.code == 0 && said.stderr.contains("can be read by others: run `chmod 600"),
        "{}",
        said.stderr
    );

    std::fs::write(&path, "not a key\n").unwrap();
    let said = sandbox.run(&["prompts", "render", "support/reply", "--input", "text=x"]);
    assert!(said.code == 1 && said.stderr.contains("is not 64 hexadecimal digits"), "{}", said.stderr);
}

#[test]
fn many_processes_end_with_one_key() {
    let sandbox = crate::cli::sqlite();
    sandbox.file("prompts/reply.yaml", REPLY);
    let check = || sandbox.command(&["prompts", "check", "--offline"]).spawn().unwrap();
    let children: Vec<_> = (0..8).map(|_| check()).collect();
    for child in children {
        assert!(child.wait_with_output().unwrap().status.success());
    }
    let folder = sandbox.path().join("home/.config/asmm");
    let names: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["guard.key"]);
}

#[test]
fn without_a_place_for_it_texts_are_sanitised_all_the_same() {
    let sandbox = crate::cli::sqlite().with_env("ASMM_GUARD_KEY_FILE", "/dev/null/nowhere/key");
    with_reply(&sandbox);
    let input = format!("text={}", email(1));
    let said = sandbox.run(&["prompts", "render", "support/reply", "--input", &input]);
    assert!(said.stdout.contains("[EMAIL_1]"), "{}", said.snapshot());
    assert!(said.stderr.contains("fingerprints of this process cannot be compared"), "{}", said.stderr);
}
