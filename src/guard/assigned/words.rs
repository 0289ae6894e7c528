//! The words around a key word that say whether a value follows.

use std::sync::LazyLock;

/// What follows a key word in the same identifier and makes it another thing: `password_length`,
/// `tokenCount`, `secret.name`. Lower case.
const OTHER_THINGS: &str = "
    alg algorithm arn at bucket budget bytes checksum class count dir digest enabled encoder encoding endpoint
    env error errors expiration expired expires expiry field file fingerprint folder format hash hashed hint
    host id ids index issuer kind label len length limit limits manager max min mode name names on parser path
    pattern placeholder policy prompt provider ref regex required reset ring rules santa size space store
    stream ttl type types uri url usage version
    age attempts button changed confirm confirmation cost created description docs dialog event exists
    form generator handler help icon info input interval invalid last lifetime lookup map message missing
    model msg needed num number optional page param params picker pos position price rate rotation schema
    scope scopes screen service set sha source state status strength text title total tooltip updated
    used valid validation validator view visible window";

/// What follows a key word as a word of its own and makes it another thing: `password policy`, `token usage`.
/// Lower case.
const OTHER_SUBJECTS: &str = "
    policy policies rules requirements requirement manager managers hashing hash hashes length generator
    generation field fields strength usage limit limits budget format expiry expiration screen page form
    prompt dialog complexity history rotation validation validator protection count types storage endpoint
    takeaways findings dates points results metrics features ideas insights";

/// Key words, which have a walk of their own when they come again. Lower case.
const KEY_WORDS: &str = "
    key token secret password passwort pass api-key x-api-key auth credentials пароль contraseña senha hasło";

/// Words after which a user's name comes. Lower case.
const USERS: &str = "
    user username login account email usr uid id usuario utilisateur benutzer benutzername utente usuário
    gebruiker użytkownik пользователь логин name identifiant";

/// Words and signs that say that the value follows. Lower case.
const SAYS: &str = "
    = == -> => → – — - :
    is was are as to equals becomes use try
    ist lautet lauten war sind auf
    est sont était
    c'est cest es era fue son
    è sono é foi são
    jest to brzmi było będzie
    это был была є
    är er on olan adalah là luidt este je στο είναι هي هو היא הוא है";

/// Signs that say so in scripts without blanks.
const SAYS_IN_SCRIPT: &[&str] = &["是", "为", "為", "は", "：", "＝", "이", "가", "는", "은", "を", "成"];

/// The longest word of the lists, in bytes.
const LONGEST: usize = 32;

/// The words of a list, by their length in bytes.
type Set = [Vec<&'static [u8]>; LONGEST + 1];

fn set(list: &'static str) -> Set {
    let mut set = std::array::from_fn(|_| Vec::new());
    list.split_whitespace().for_each(|word| set[word.len()].push(word.as_bytes()));
    set
}

/// Whether `word` is in `set`, whatever its case in ASCII.
fn holds(set: &Set, word: &[u8]) -> bool {
    set.get(word.len()).is_some_and(|words| words.iter().any(|known| known.eq_ignore_ascii_case(word)))
}

/// Whether `word`, a part of the key word's identifier, makes it another thing.
pub(super) fn makes_another(word: &[u8]) -> bool {
    static SET: LazyLock<Set> = LazyLock::new(|| set(OTHER_THINGS));
    holds(&SET, word)
}

/// Whether `word` is a key word.
pub(super) fn is_key_word(word: &str) -> bool {
    static SET: LazyLock<Set> = LazyLock::new(|| set(KEY_WORDS));
    holds(&SET, word.trim_end_matches([':', '=']).as_bytes())
}

/// Whether a user's name comes after `word`.
pub(super) fn names_user(word: &str) -> bool {
    static SET: LazyLock<Set> = LazyLock::new(|| set(USERS));
    holds(&SET, word.trim_end_matches([':', '=']).as_bytes())
}

/// Whether `word`, the next one after the key word, makes it another thing.
pub(super) fn is_another_subject(word: &str) -> bool {
    static SET: LazyLock<Set> = LazyLock::new(|| set(OTHER_SUBJECTS));
    holds(&SET, word.trim_end_matches([':', ',', '.', ';', '?']).as_bytes())
}

/// Whether `word` says that the value follows.
pub(super) fn says(word: &str) -> bool {
    static SET: LazyLock<Set> = LazyLock::new(|| set(SAYS));
    holds(&SET, word.as_bytes())
}

/// Whether one of `signs`, a run without blanks, says so.
pub(super) fn says_in_script(signs: &str) -> bool {
    SAYS_IN_SCRIPT.iter().any(|sign| signs.contains(sign))
}
