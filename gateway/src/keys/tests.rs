use std::{fs, path::Path, time::Duration};

use super::*;
use crate::config::{Access, Environment, Overrides, load};

const CONFIG: &str = "\
contexts:
  bot: {use: revenue, exposure: public}
  lab: {use: research, exposure: internal}
teams:
  support: {contexts: [bot]}
  science: {contexts: [lab]}
keys: keys.yaml
";

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("pointsman.yaml"), CONFIG).unwrap();
    folder
}

fn file(folder: &tempfile::TempDir) -> KeysFile {
    KeysFile::open(&folder.path().join("keys.yaml")).unwrap()
}

/// A key that is bound to nothing but its team and context.
fn plain<'a>(team: &'a str, context: &'a str, expires: Option<u64>) -> Wanted<'a> {
    Wanted { team, context, scope: ListedScope::default(), expires: expires.map(Duration::from_secs) }
}

fn loaded(folder: &Path) -> Result<(Keys, policies::Report), policies::Report> {
    let (config, warnings) = load(&folder.join("pointsman.yaml"), &Overrides::default(), &Environment::default())?;
    match config.access {
        Access::Keys(keys) => Ok((keys, warnings)),
        Access::Open(_) => panic!("a configuration never opens the gateway"),
    }
}

fn keys(folder: &tempfile::TempDir) -> Keys {
    loaded(folder.path()).unwrap_or_else(|report| panic!("{report}")).0
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

#[test]
fn a_new_key_stands_for_its_team_and_context() {
    let folder = folder();
    let new = file(&folder).add(&plain("support", "bot", None), at(1_000)).unwrap();
    let keys = keys(&folder);
    let grant = keys.verify(new.token.expose(), at(2_000)).unwrap();
    assert_eq!((grant.key.as_deref(), grant.team.as_deref()), (Some(new.id.as_str()), Some("support")));
    assert_eq!((grant.context.name.as_str(), grant.context.use_.purpose), ("bot", catalog::Purpose::Revenue));
}

#[test]
fn a_key_is_over_at_its_expiry() {
    let folder = folder();
    let new = file(&folder).add(&plain("support", "bot", Some(60)), at(1_000)).unwrap();
    assert_eq!(new.expires.as_deref(), Some("1970-01-01T00:17:40Z"));
    let keys = keys(&folder);
    assert!(keys.verify(new.token.expose(), at(1_059)).is_ok());
    assert_eq!(keys.verify(new.token.expose(), at(1_060)).unwrap_err(), KeyError::Expired);
}

#[test]
fn a_revoked_key_lets_nobody_in_and_stays_listed() {
    let folder = folder();
    let kept = file(&folder).add(&plain("support", "bot", None), at(1)).unwrap();
    let gone = file(&folder).add(&plain("science", "lab", None), at(2)).unwrap();
    file(&folder).revoke(&gone.id, at(3)).unwrap();
    let keys = keys(&folder);
    assert!(keys.verify(kept.token.expose(), at(4)).is_ok());
    assert_eq!(keys.verify(gone.token.expose(), at(4)).unwrap_err(), KeyError::Revoked);
    let listed = KeysFile::list(&folder.path().join("keys.yaml")).unwrap();
    assert_eq!(listed.len(), 2);
    assert_eq!(listed[1].revoked.as_deref(), Some("1970-01-01T00:00:03Z"));
    let again = file(&folder).revoke(&gone.id, at(9)).unwrap();
    assert_eq!(again.revoked.as_deref(), Some("1970-01-01T00:00:03Z"), "the first time counts");
    assert!(matches!(file(&folder).revoke("k0", at(9)), Err(WriteError::NoSuchKey { .. })));
}

#[test]
fn what_is_no_key_or_another_key_is_refused() {
    let folder = folder();
    let new = file(&folder).add(&plain("support", "bot", None), at(1)).unwrap();
    let keys = keys(&folder);
    let refused = |presented: &str| keys.verify(presented, at(2)).unwrap_err();
    let key = new.token.expose();
    assert_eq!(refused(Token::random().unwrap().expose()), KeyError::Unknown);
    // One letter typed wrong is told from a key of another gateway by its checksum.
    let wrong = if key.ends_with('0') { "1" } else { "0" };
    assert_eq!(refused(&format!("{}{wrong}", &key[..key.len() - 1])), KeyError::Malformed);
    for presented in
        ["", "pm_", "sk-123", &key.to_uppercase(), &format!("{key} "), &"ü".repeat(38), &"x".repeat(1 << 20)]
    {
        assert_eq!(refused(presented), KeyError::Malformed, "{presented:.20}");
    }
}

#[test]
fn neither_the_file_nor_any_message_holds_a_key() {
    let folder = folder();
    let new = file(&folder).add(&plain("support", "bot", None), at(1)).unwrap();
    let text = fs::read_to_string(folder.path().join("keys.yaml")).unwrap();
    assert!(!text.contains(&new.token.expose()[3..]));
    assert!(text.contains("\"hash\""));
    let keys = keys(&folder);
    let random = &new.token.expose()[3..20];
    assert!(!format!("{new:?} {:?}", keys.verify(new.token.expose(), at(2))).contains(random));
    for error in [KeyError::Malformed, KeyError::Unknown, KeyError::Expired, KeyError::Revoked] {
        assert!(!error.to_string().contains(random));
    }
}

#[cfg(unix)]
#[test]
fn the_file_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder();
    file(&folder).add(&plain("support", "bot", None), at(1)).unwrap();
    let mode = fs::metadata(folder.path().join("keys.yaml")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn keys_made_at_the_same_time_are_all_kept() {
    let folder = folder();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| file(&folder).add(&plain("support", "bot", None), at(1)).unwrap());
        }
    });
    assert_eq!(keys(&folder).len(), 8);
}

#[test]
fn a_key_of_a_team_that_is_gone_is_a_warning_and_lets_nobody_in() {
    let folder = folder();
    let gone = file(&folder).add(&plain("ghosts", "bot", None), at(1)).unwrap();
    let moved = file(&folder).add(&plain("science", "bot", None), at(1)).unwrap();
    let (keys, warnings) = loaded(folder.path()).unwrap();
    assert!(keys.is_empty());
    assert_eq!(keys.verify(gone.token.expose(), at(2)).unwrap_err(), KeyError::Unknown);
    let text = warnings.render(false);
    assert!(text.contains("of a team that is not configured") && text.contains(&gone.id), "{text}");
    assert!(text.contains("for a context that its team does not have") && text.contains(&moved.id), "{text}");
}

#[test]
fn a_damaged_keys_file_is_refused_where_it_is_damaged_and_never_overwritten() {
    let folder = folder();
    let text = "keys:\n  - {id: k1, team: support, context: bot, hash: abc, created: yesterday}\n  - {id: k1}\n";
    fs::write(folder.path().join("keys.yaml"), text).unwrap();
    let report = loaded(folder.path()).unwrap_err().render(false).replace(&format!("{}/", folder.path().display()), "");
    for expected in [
        "error[missing-key]: a key needs the key `team`\n --> keys.yaml:3:6",
        "error[bad-hash]: the hash of key `k1` is not a SHA-256 in hex\n --> keys.yaml:2:49",
        "error[bad-time]: `yesterday` is not a time\n --> keys.yaml:2:63",
    ] {
        assert!(report.contains(expected), "`{expected}` is missing:\n{report}");
    }
    assert!(matches!(KeysFile::open(&folder.path().join("keys.yaml")), Err(WriteError::Broken(_))));
    assert_eq!(fs::read_to_string(folder.path().join("keys.yaml")).unwrap(), text);
}

#[test]
fn a_rotated_key_and_the_one_in_its_place_are_both_good_until_the_overlap_is_over() {
    let folder = folder();
    let hour = Duration::from_secs(3_600);
    let scope =
        ListedScope { models: vec!["qwen3-32b".to_owned()], endpoints: vec![Endpoint::Chat], ..Default::default() };
    let old = file(&folder).add(&Wanted { scope, ..plain("support", "bot", Some(86_400)) }, at(1_000)).unwrap();
    let (new, listed) = file(&folder).rotate(&old.id, at(5_000), hour).unwrap();
    assert_eq!(
        (listed.replaced_by.as_deref(), listed.expires.as_deref()),
        (Some(&*new.id), Some("1970-01-01T02:23:20Z"))
    );
    assert_eq!(new.expires.as_deref(), Some("1970-01-02T01:23:20Z"), "as long as the old one was made for");
    let keys = keys(&folder);
    let grant = |key: &NewKey, seconds| keys.verify(key.token.expose(), at(seconds)).cloned();
    let (before, after) = (grant(&old, 5_001).unwrap(), grant(&new, 5_001).unwrap());
    assert_eq!((&before.team, &before.scope, &before.endpoints), (&after.team, &after.scope, &after.endpoints));
    assert!(after.scope.is_some() && !after.reaches(Endpoint::Embeddings));
    assert_eq!(grant(&old, 8_600).unwrap_err(), KeyError::Expired);
    assert!(grant(&new, 8_600).is_ok());
    let states: Vec<State> =
        KeysFile::list(&folder.path().join("keys.yaml")).unwrap().iter().map(|key| key.state(at(5_001))).collect();
    assert_eq!(states, [State::Replaced, State::Active]);
}

#[test]
fn an_overlap_never_makes_a_key_good_for_longer_and_what_is_over_is_not_rotated() {
    let folder = folder();
    let day = Duration::from_secs(86_400);
    let old = file(&folder).add(&plain("support", "bot", Some(60)), at(1_000)).unwrap();
    let (new, listed) = file(&folder).rotate(&old.id, at(1_030), day).unwrap();
    assert_eq!(listed.expires, old.expires, "it was to be over before the overlap is");
    let refused = |id: &str, seconds| file(&folder).rotate(id, at(seconds), day).unwrap_err().to_string();
    assert!(refused(&old.id, 1_031).contains(&format!("was replaced by `{}`", new.id)));
    assert!(refused(&new.id, 9_000).contains("has expired"));
    let third = file(&folder).add(&plain("support", "bot", None), at(1)).unwrap();
    file(&folder).revoke(&third.id, at(2)).unwrap();
    assert!(refused(&third.id, 3).contains("was revoked"));
    assert!(matches!(file(&folder).rotate("k0", at(3), day), Err(WriteError::NoSuchKey { .. })));
}

#[test]
fn a_scope_is_read_by_the_catalogs_names_and_what_nobody_knows_is_a_warning_and_reaches_nothing() {
    let folder = folder();
    let scope = ListedScope {
        models: vec!["Qwen/Qwen3-32B".to_owned(), "qwen3-32c".to_owned()],
        routes: vec!["auto-code".to_owned(), "direct".to_owned()],
        endpoints: Vec::new(),
    };
    let new = file(&folder).add(&Wanted { scope, ..plain("support", "bot", None) }, at(1)).unwrap();
    let (keys, warnings) = loaded(folder.path()).unwrap();
    let grant = keys.verify(new.token.expose(), at(2)).unwrap();
    let scope = grant.scope.as_ref().unwrap();
    assert_eq!(scope.models, ["qwen3-32b", "qwen3-32c"], "the first by its repository");
    assert!(!scope.reaches(None, "qwen3-8b") && grant.reaches(Endpoint::Files));
    let text = warnings.render(false);
    for expected in ["is bound to `qwen3-32c`, which is no model", "is bound to `auto-code`, which is no route"] {
        assert!(text.contains(expected), "`{expected}` is missing:\n{text}");
    }
    assert!(!text.contains("`direct`, which"), "{text}");
}

#[test]
fn a_list_without_names_is_no_bound_by_mistake_but_an_error() {
    let folder = folder();
    let hash = "0".repeat(64);
    let key = format!("id: k1, team: support, context: bot, hash: \"{hash}\", created: 2026-01-01T00:00:00Z");
    for (scope, expected) in [
        ("{models: []}", "error[bad-scope]: a list in the scope of key `k1` has 0 names"),
        ("{endpoints: [chats]}", "`chats`"),
        ("{model: [a]}", "`model`"),
    ] {
        fs::write(folder.path().join("keys.yaml"), format!("keys:\n  - {{{key}, scope: {scope}}}\n")).unwrap();
        let report = loaded(folder.path()).unwrap_err().render(false);
        assert!(report.contains(expected) && report.contains("keys.yaml:2:"), "{report}");
    }
}

#[test]
fn a_revocation_is_heeded_without_the_rest_of_the_file_and_last_uses_go_on_over_a_reload() {
    let folder = folder();
    let kept = file(&folder).add(&plain("support", "bot", None), at(1)).unwrap();
    let gone = file(&folder).add(&plain("science", "lab", None), at(2)).unwrap();
    let before = keys(&folder);
    assert!(before.verify(gone.token.expose(), at(100)).is_ok());
    file(&folder).revoke(&gone.id, at(101)).unwrap();
    let listed = KeysFile::list(&folder.path().join("keys.yaml")).unwrap();
    assert_eq!((before.heed(&listed), before.heed(&listed)), (1, 0), "it is told once");
    assert_eq!(before.verify(gone.token.expose(), at(102)).unwrap_err(), KeyError::Revoked);
    let mut after = keys(&folder);
    after.follow(&before);
    assert!(before.verify(kept.token.expose(), at(103)).is_ok(), "a request that began before");
    let uses: Vec<(String, SystemTime)> = after.uses().into_iter().collect();
    let mut expected = [(kept.id, at(103)), (gone.id, at(100))];
    expected.sort();
    assert_eq!(uses, expected, "a refusal is no use");
}
