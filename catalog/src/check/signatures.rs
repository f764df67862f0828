//! What must hold of signers and of what they have to sign. Fail closed: one signer is enough for every row to need its
//! signatures, and a signature that nobody is there to check is refused too, so that taking the signers away turns nothing off.

use std::collections::HashSet;

use super::{File, MAX_NAME, Report};
use crate::load::{Key, List, Rows, Text};
use crate::nearest::{cut, nearest};
use crate::signer::{ToSign, key};
use crate::{Attestation, Problem, Signer, Waiver};

/// Problems of the signers themselves. `seen` has the names and keys of those before.
pub(super) fn signer(row: &Signer, seen: &mut HashSet<(&'static str, String)>, report: &mut Report<'_>) {
    report.bound(Key::Name, "name", &row.name, MAX_NAME);
    if row.name.trim().is_empty() {
        let hint = Some("name them as `signed_by` and `approved_by` do".to_owned());
        report.problem(Key::Name, "empty-text", "`name` is empty".to_owned(), hint);
    }
    // Approvers are told apart without case and outer space.
    if !seen.insert(("name", row.name.trim().to_lowercase())) {
        let message = format!("there is another signer of the name `{}`", cut(&row.name));
        report.problem(Key::Name, "duplicate-signer", message, Some("give each a name of their own".to_owned()));
    }
    match key(&row.key) {
        None => report.problem(
            Key::Public,
            "bad-key",
            format!("the key of `{}` is no Ed25519 public key", cut(&row.name)),
            Some("expected 32 bytes in Base64, 44 characters".to_owned()),
        ),
        // One person would approve as two.
        Some(_) if !seen.insert(("key", row.key.clone())) => report.problem(
            Key::Public,
            "duplicate-signer",
            format!("the key of `{}` is that of another signer", cut(&row.name)),
            Some("each signer needs a key of their own".to_owned()),
        ),
        Some(_) => {}
    }
}

/// The rows of `files` that lack a signature, and those of `base` that need one since the files name the first signers.
pub(crate) fn check(base: Option<&Rows>, files: &[File<'_>]) -> Vec<Problem> {
    let signers: Vec<&Signer> =
        base.into_iter().chain(files.iter().map(|file| &file.rows)).flat_map(|rows| &rows.signers).collect();
    let mut unsigned = base.filter(|base| base.signers.is_empty());
    let mut found = Vec::new();
    for file in files {
        let mut report =
            Report { file: file.name, text: Text::new(file.text), list: List::Signers, row: 0, found: &mut found };
        if !file.rows.signers.is_empty()
            && let Some(base) = unsigned.take()
        {
            report.at(List::Signers, 0);
            base.attestations.iter().for_each(|row| attestation(row, &signers, &mut report));
            base.waivers.iter().for_each(|row| waiver(row, &signers, &mut report));
        }
        for (row, it) in file.rows.attestations.iter().enumerate() {
            report.at(List::Attestations, row);
            attestation(it, &signers, &mut report);
        }
        for (row, it) in file.rows.waivers.iter().enumerate() {
            report.at(List::Waivers, row);
            waiver(it, &signers, &mut report);
        }
    }
    found
}

fn attestation(row: &Attestation, signers: &[&Signer], report: &mut Report<'_>) {
    if !signers.is_empty() || row.signature.is_some() {
        lacking(&row.to_sign(find(signers)), signers, |_| row.signature.is_some(), Key::Signature, report);
    }
}

fn waiver(row: &Waiver, signers: &[&Signer], report: &mut Report<'_>) {
    if signers.is_empty() && row.signatures.is_empty() {
        return;
    }
    let to_sign = row.to_sign(find(signers));
    for (n, signature) in row.signatures.iter().enumerate().filter(|(_, signature)| !to_sign.by.contains(&signature.by))
    {
        let name = cut(&signature.by);
        report.problem(
            Key::SignatureOf(n),
            "bad-signature",
            format!("`{name}` signed the waiver `{}` and is not one of those who approve it", cut(&row.id)),
            Some(format!("remove the signature, or name `{name}` under `approved_by` and let everybody sign again")),
        );
    }
    let has = |name: &str| row.signatures.iter().any(|signature| signature.by == name);
    lacking(&to_sign, signers, has, Key::Approvers, report);
}

fn find<'a>(signers: &[&'a Signer]) -> impl Fn(&str) -> Option<&'a Signer> {
    |name| signers.iter().find(|signer| signer.name == name).copied()
}

/// Reports each who has not signed, by what is in the way.
fn lacking(row: &ToSign, signers: &[&Signer], has: impl Fn(&str) -> bool, key: Key, report: &mut Report<'_>) {
    let (kind, id) = (row.kind.name(), cut(&row.id));
    let command = format!("`pointsman license sign {kind} {id}`");
    for name in &row.lacking {
        let shown = cut(name);
        let (code, message, hint) = if signers.iter().all(|signer| signer.name != *name) {
            let near = nearest(name, signers.iter().map(|signer| signer.name.as_str()));
            (
                "unknown-signer",
                format!("the {kind} `{id}` has to be signed by `{shown}`, who is no signer of the catalog"),
                match near {
                    Some(near) => format!("did you mean `{}`?", cut(near)),
                    None => format!("add `{{name: {shown}, key: ...}}` under `signers`, then {command}"),
                },
            )
        } else if has(name) {
            (
                "bad-signature",
                format!("the signature of `{shown}` does not fit the {kind} `{id}` as it stands"),
                format!("let `{shown}` read it and sign it again: {command}"),
            )
        } else {
            (
                "not-signed",
                format!("`{shown}` has not signed the {kind} `{id}`"),
                format!("let `{shown}` sign it: {command}"),
            )
        };
        report.problem(key, code, message, Some(hint));
    }
}
