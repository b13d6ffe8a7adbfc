//! What a token is worth, and for how long; two that share a file.

use super::*;

const NOW_MS: u64 = 1_700_000_000_000;

/// A file of its own for each test, removed at its end.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Place {
        let dir = std::env::temp_dir().join(format!("pantry-tokens-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        Place(dir)
    }

    fn tokens(&self) -> Tokens {
        Tokens::new(self.0.join("tokens"))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn new(name: &str, expires_ms: Option<u64>) -> NewToken {
    NewToken { name: name.to_owned(), user: "till".to_owned(), expires_ms }
}

#[test]
fn a_token_stands_for_its_user_until_it_ends() {
    let place = Place::new("ends");
    let tokens = place.tokens();
    let (word, _) = tokens.create(new("ci", Some(NOW_MS + 10)), NOW_MS).unwrap();
    assert_eq!(tokens.holder_of(word.as_bytes(), NOW_MS).unwrap().user, "till");
    assert_eq!(tokens.holder_of(word.as_bytes(), NOW_MS + 9).unwrap().user, "till");
    assert_eq!(tokens.holder_of(word.as_bytes(), NOW_MS + 10), None);
}

#[test]
fn a_token_with_any_other_letter_is_none() {
    let place = Place::new("letters");
    let tokens = place.tokens();
    let (word, _) = tokens.create(new("ci", None), NOW_MS).unwrap();
    for at in 0..word.len() {
        let mut other = word.clone().into_bytes();
        other[at] ^= 1;
        assert_eq!(tokens.holder_of(&other, NOW_MS), None, "letter {at}");
    }
    for other in ["", "pt_", "pt__", &word[..word.len() - 1], &format!("{word}0")] {
        assert_eq!(tokens.holder_of(other.as_bytes(), NOW_MS), None, "{other}");
    }
}

#[test]
fn the_file_tells_no_token_and_nobody_else_reads_it() {
    let place = Place::new("file");
    let tokens = place.tokens();
    let (word, token) = tokens.create(new("ci", None), NOW_MS).unwrap();
    let path = place.0.join("tokens");
    let text = std::fs::read_to_string(&path).unwrap();
    let secret = word.rsplit_once('_').unwrap().1;
    assert!(text.contains(&token.id) && !text.contains(secret));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn two_that_share_a_file_see_what_the_other_does() {
    let place = Place::new("two");
    let (server, tool) = (place.tokens(), place.tokens());
    let (word, token) = tool.create(new("ci", None), NOW_MS).unwrap();
    assert_eq!(server.holder_of(word.as_bytes(), NOW_MS), None);
    server.refresh(NOW_MS).unwrap();
    assert!(server.holder_of(word.as_bytes(), NOW_MS).is_some());
    // The use is written a minute later, and a token made meanwhile is not lost by that.
    tool.create(new("second", None), NOW_MS + 1).unwrap();
    server.refresh(NOW_MS + 60_000).unwrap();
    let kept = place.tokens();
    kept.refresh(NOW_MS).unwrap();
    let names: Vec<_> = kept.list().into_iter().map(|it| (it.name, it.last_used_ms)).collect();
    assert_eq!(names, [("ci".to_owned(), Some(NOW_MS)), ("second".to_owned(), None)]);

    assert!(tool.revoke(&token.id).unwrap());
    assert!(!tool.revoke(&token.id).unwrap());
    server.refresh(NOW_MS + 60_001).unwrap();
    assert_eq!(server.holder_of(word.as_bytes(), NOW_MS), None);
}

#[test]
fn a_file_that_is_no_file_of_tokens_changes_nothing() {
    let place = Place::new("damaged");
    let tokens = place.tokens();
    let (word, _) = tokens.create(new("ci", None), NOW_MS).unwrap();
    let path = place.0.join("tokens");
    std::fs::write(&path, "{}\n").unwrap();
    let error = tokens.refresh(NOW_MS).unwrap_err().to_string();
    assert!(error.contains("line 1"), "{error}");
    assert!(tokens.holder_of(word.as_bytes(), NOW_MS).is_some());
    assert!(tokens.create(new("more", None), NOW_MS).is_err(), "it would drop what was there");
}

#[test]
fn names_have_a_limit() {
    let place = Place::new("names");
    let tokens = place.tokens();
    assert!(tokens.create(new(&"n".repeat(NAME_BYTES_MAX), None), NOW_MS).is_ok());
    assert!(tokens.create(new(&"n".repeat(NAME_BYTES_MAX + 1), None), NOW_MS).is_err());
}
