//! `pointsman catalog bom`: a bill of materials of the models that a configuration serves.

use std::time::SystemTime;

use catalog::bom::{Bill, Deployment, Place, Remote};
use clap::{Args, ValueEnum};

use super::{ConfigFile, print_json};
use crate::config::{self, Config, Target, Weights};

/// Write a bill of materials of the models that a configuration serves, as JSON
#[derive(Debug, Args)]
pub(super) struct Bom {
    /// Standard to write it in: CycloneDX 1.7 or SPDX 3.0.1
    #[arg(long, value_enum)]
    format: Format,
    #[command(flatten)]
    config: ConfigFile,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Cyclonedx,
    Spdx,
}

pub(super) fn run(args: &Bom) -> anyhow::Result<bool> {
    let (config, _) = args.config.source().load()?;
    let bill = bill(&config, uuid::Uuid::now_v7(), SystemTime::now());
    match args.format {
        Format::Cyclonedx => print_json(&catalog::bom::cyclonedx(&bill, &config.catalog))?,
        Format::Spdx => print_json(&catalog::bom::spdx(&bill, &config.catalog))?,
    }
    Ok(true)
}

fn bill(config: &Config, serial: uuid::Uuid, now: SystemTime) -> Bill {
    Bill {
        serial: serial.to_string(),
        created: humantime::format_rfc3339_seconds(now).to_string(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        configuration: config.digest.clone(),
        deployments: config.deployments.iter().map(deployment).collect(),
    }
}

fn deployment(deployment: &config::Deployment) -> Deployment {
    let facts = &deployment.facts;
    let (policies::Place::Local { engine: id } | policies::Place::Host(id) | policies::Place::Server(id)) =
        &facts.place;
    let place = match &deployment.target {
        Target::Engine { .. } => Place::Engine { engine: id.clone() },
        Target::Remote { host, base_url, key, name } => {
            let remote = Remote { endpoint: base_url.clone(), name: name.clone(), authenticated: key.is_some() };
            match host {
                Some(host) => Place::Host { host: host.clone(), remote },
                None => Place::Server { server: id.clone(), remote },
            }
        }
        Target::Fleet { replicas, key, name } => Place::Server {
            server: id.clone(),
            remote: Remote { endpoint: replicas.to_string(), name: name.clone(), authenticated: key.is_some() },
        },
    };
    // Weights that are part of the program change with it.
    let built_in = matches!(&deployment.target, Target::Engine { weights: Weights::BuiltIn, .. });
    Deployment {
        id: facts.id.clone(),
        model: facts.model.clone(),
        place,
        region: facts.region.clone(),
        retention: facts.retention.clone(),
        quantization_bits: facts.quantization_bits,
        version: built_in.then(|| env!("CARGO_PKG_VERSION").to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, Overrides, load, zero};

    #[test]
    fn every_deployment_is_in_the_bill_with_its_place_and_no_key() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pointsman.yaml");
        let text = "\
deployments:
  - {id: lab, model: qwen3-32b, server: vllm, base_url: \"http://127.0.0.1:9000/v1\", region: eu}
  - {id: groq-70b, model: llama-3.3-70b-instruct, host: groq, key_file: secret}
contexts: {office: {use: internal, exposure: internal}}
teams: {everyone: {contexts: [office]}}
keys: keys.yaml
";
        std::fs::write(&file, text).unwrap();
        std::fs::write(folder.path().join("secret"), "never-to-be-seen").unwrap();
        let (config, _) =
            load(&file, &Overrides::default(), &Environment::default()).unwrap_or_else(|report| panic!("{report}"));
        let bill = bill(&config, uuid::Uuid::nil(), SystemTime::UNIX_EPOCH);
        assert_eq!(bill.created, "1970-01-01T00:00:00Z");
        let [lab, groq] = bill.deployments.as_slice() else { panic!("two deployments") };
        assert!(matches!(&lab.place, Place::Server { server, remote } if server == "vllm" && !remote.authenticated));
        assert!(matches!(&groq.place, Place::Host { host, remote } if host == "groq" && remote.authenticated));
        assert_eq!((lab.region.as_deref(), &lab.version), (Some("eu"), &None));
        let written = serde_json::to_string(&catalog::bom::cyclonedx(&bill, &config.catalog)).unwrap();
        assert!(!written.contains("never-to-be-seen"), "{written}");
    }

    #[test]
    fn the_model_in_the_program_has_the_version_of_the_program() {
        let (config, _) = zero(&Overrides::default(), &Environment::default()).unwrap();
        let bill = bill(&config, uuid::Uuid::nil(), SystemTime::UNIX_EPOCH);
        let [demo] = bill.deployments.as_slice() else { panic!("the demo model alone") };
        assert_eq!(demo.version.as_deref(), Some(env!("CARGO_PKG_VERSION")));
        assert!(matches!(&demo.place, Place::Engine { engine } if engine == "native"));
    }
}
