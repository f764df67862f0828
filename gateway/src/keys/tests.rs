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
    let new = file(&folder).add("support", "bot", at(1_000), None).unwrap();
    let keys = keys(&folder);
    let grant = keys.verify(new.token.expose(), at(2_000)).unwrap();
    assert_eq!((grant.key.as_deref(), grant.team.as_deref()), (Some(new.id.as_str()), Some("support")));
    assert_eq!((grant.context.name.as_str(), grant.context.use_.purpose), ("bot", catalog::Purpose::Revenue));
}

#[test]
fn a_key_is_over_at_its_expiry() {
    let folder = folder();
    let new = file(&folder).add("support", "bot", at(1_000), Some(Duration::from_secs(60))).unwrap();
    assert_eq!(new.expires.as_deref(), Some("1970-01-01T00:17:40Z"));
    let keys = keys(&folder);
    assert!(keys.verify(new.token.expose(), at(1_059)).is_ok());
    assert_eq!(keys.verify(new.token.expose(), at(1_060)).unwrap_err(), KeyError::Expired);
}

#[test]
fn a_revoked_key_lets_nobody_in_and_stays_listed() {
    let folder = folder();
    let kept = file(&folder).add("support", "bot", at(1), None).unwrap();
    let gone = file(&folder).add("science", "lab", at(2), None).unwrap();
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
    let new = file(&folder).add("support", "bot", at(1), None).unwrap();
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
    let new = file(&folder).add("support", "bot", at(1), None).unwrap();
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
    file(&folder).add("support", "bot", at(1), None).unwrap();
    let mode = fs::metadata(folder.path().join("keys.yaml")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn keys_made_at_the_same_time_are_all_kept() {
    let folder = folder();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| file(&folder).add("support", "bot", at(1), None).unwrap());
        }
    });
    assert_eq!(keys(&folder).len(), 8);
}

#[test]
fn a_key_of_a_team_that_is_gone_is_a_warning_and_lets_nobody_in() {
    let folder = folder();
    let gone = file(&folder).add("ghosts", "bot", at(1), None).unwrap();
    let moved = file(&folder).add("science", "bot", at(1), None).unwrap();
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
