//! `pointsman license sign` and `signer`: signatures of attestations and waivers, by those who answer for them.
//!
//! A signer's key is a file of PKCS #8 that stays with the signer; the catalog has its public half under `signers`.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use catalog::{Catalog, ToSign};
use clap::{Args, ValueEnum};
use ring::{
    rand::SystemRandom,
    signature::{Ed25519KeyPair, KeyPair as _},
};

use crate::{
    cli::{print, print_json},
    config::source::Source,
};

/// Sign an attestation or a waiver of a catalog file, and print what to write into its row
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pointsman license signer --key jane.key                            once: a key, and the row for `signers`
  pointsman license sign attestation users-2026 --catalog acme.yaml --key jane.key --by 'Jane Roe'
  pointsman license sign waiver pixtral-trial --catalog acme.yaml --key jane.key --by 'Jane Roe'")]
pub(super) struct Sign {
    /// What is signed
    #[arg(value_enum)]
    kind: Kind,
    /// Its id
    id: String,
    /// The catalog file that has it; may be repeated
    #[arg(long, value_name = "FILE", required = true)]
    catalog: Vec<PathBuf>,
    /// File of the signer's key
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Who signs, by the name that the row has
    #[arg(long, value_name = "NAME")]
    by: String,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Kind {
    Attestation,
    Waiver,
}

/// Make a key to sign with, unless the file is there, and print its row for `signers` of a catalog file
#[derive(Debug, Args)]
pub(super) struct NewSigner {
    /// File of the key
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The signer's name
    #[arg(long, value_name = "NAME", default_value = "NAME")]
    name: String,
}

pub(super) fn sign(args: &Sign) -> anyhow::Result<bool> {
    let read = |file: &PathBuf| {
        let source = Source::read(file, "catalog file").map_err(|problem| anyhow::anyhow!("{}", problem.message))?;
        Ok::<_, anyhow::Error>((source.name.to_string(), source.text.to_string()))
    };
    let files = args.catalog.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let rows = Catalog::builtin().to_sign(&files).map_err(|problems| {
        let all: Vec<_> = problems.iter().map(ToString::to_string).collect();
        anyhow::anyhow!("the catalog file has problems:\n{}", all.join("\n"))
    })?;
    let kind = match args.kind {
        Kind::Attestation => catalog::SignedKind::Attestation,
        Kind::Waiver => catalog::SignedKind::Waiver,
    };
    let Some(row) = rows.iter().find(|row| row.kind == kind && row.id == args.id) else {
        bail!("there is no {} `{}` in these files", kind.name(), args.id.escape_debug());
    };
    let ToSign { text, by, .. } = row;
    if !by.contains(&args.by) {
        bail!("`{}` has to be signed by {}, not by `{}`", row.id, by.join(" and "), args.by.escape_debug());
    }
    let signature = BASE64_STANDARD.encode(pair(&args.key)?.sign(text.as_bytes()));
    let written = match args.kind {
        Kind::Attestation => format!("signature: {signature}"),
        Kind::Waiver => {
            let by = serde_json::to_string(&args.by)?;
            format!("signatures: [{{by: {by}, signature: {signature}}}]")
        }
    };
    match args.json {
        true => print_json(&serde_json::json!({"text": text, "by": args.by, "signature": signature}))?,
        false => print(&format!("# signed is:\n# {}\n{written}\n", text.replace('\n', "\n# ")))?,
    }
    Ok(true)
}

pub(super) fn new_signer(args: &NewSigner) -> anyhow::Result<bool> {
    if !args.key.exists() {
        let bytes = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new());
        let bytes = bytes.map_err(|_| anyhow::anyhow!("there are no random numbers"))?;
        let write =
            || OpenOptions::new().write(true).create_new(true).mode(0o600).open(&args.key)?.write_all(bytes.as_ref());
        write().with_context(|| format!("cannot write {}", args.key.display()))?;
    }
    let public = BASE64_STANDARD.encode(pair(&args.key)?.public_key().as_ref());
    print(&format!("signers: [{{name: {}, key: {public}}}]\n", serde_json::to_string(&args.name)?))?;
    Ok(true)
}

fn pair(file: &Path) -> anyhow::Result<Ed25519KeyPair> {
    let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    Ed25519KeyPair::from_pkcs8(&bytes)
        .map_err(|_| anyhow::anyhow!("{} is no key; `pointsman license signer --key FILE` makes one", file.display()))
}
