//! A bill of materials of deployed models: what is served where, by whom it was made, and under which licences.
//!
//! [`cyclonedx()`] writes CycloneDX 1.7, [`spdx()`] SPDX 3.0.1. Both say the same things; what the standards have no
//! field for is a property under `pointsman:`, by the same names in both.
//!
//! What is not known is left out or says `NOASSERTION`. No licence, version or address is made up, and a bill that
//! rests on a company's odd row is still a valid document.
//!
//! Pure: the time, the serial number and the deployments come in. Knows no configuration and no file of weights.

mod cyclonedx;
mod facts;
mod identity;
mod spdx3;

#[cfg(test)]
mod tests;

use serde::Serialize;

use crate::{Catalog, License};

/// What a bill is made of, beside the catalog.
#[derive(Clone, Debug)]
pub struct Bill {
    /// A UUID in lower case: no two bills have the same.
    pub serial: String,
    /// When it was written: UTC, to the second, as in RFC 3339 (`2026-11-25T18:00:00Z`).
    pub created: String,
    /// The version of the gateway.
    pub version: String,
    /// The digest of the configuration that the gateway would serve under.
    pub configuration: String,
    /// Every deployment. Their order is that of the bill.
    pub deployments: Vec<Deployment>,
}

/// A model served at a place.
#[derive(Clone, Debug)]
pub struct Deployment {
    /// Its name in the configuration.
    pub id: String,
    /// The catalog id of the model.
    pub model: String,
    /// Where it runs.
    pub place: Place,
    /// Where requests are processed.
    pub region: Option<String>,
    /// How long the place keeps them.
    pub retention: Option<String>,
    /// Bits a weight.
    pub quantization_bits: Option<f32>,
    /// The version of the weights.
    pub version: Option<String>,
}

/// Where a deployment runs.
#[derive(Clone, Debug)]
pub enum Place {
    /// In the gateway itself.
    Engine {
        /// The engine.
        engine: String,
    },
    /// At a company that serves models.
    Host {
        /// Its catalog id.
        host: String,
        /// How it is reached.
        remote: Remote,
    },
    /// On a server of one's own.
    Server {
        /// The catalog id of its kind.
        server: String,
        /// How it is reached.
        remote: Remote,
    },
}

/// How a place outside the gateway is reached.
#[derive(Clone, Debug)]
pub struct Remote {
    /// The base address.
    pub endpoint: String,
    /// What the place calls the model.
    pub name: String,
    /// Whether a key is presented.
    pub authenticated: bool,
}

/// The bill as a CycloneDX 1.7 document.
pub fn cyclonedx<'a>(bill: &'a Bill, catalog: &'a Catalog) -> impl Serialize + use<'a> {
    cyclonedx::document(bill, catalog)
}

/// The bill as an SPDX 3.0.1 document in JSON-LD.
///
/// Models are packages of the AI profile, each with exactly one declared and one concluded licence. Conformance to that
/// profile is not claimed: its text also asks for the version, supplier, release time and download address of every
/// model.
pub fn spdx<'a>(bill: &'a Bill, catalog: &'a Catalog) -> impl Serialize + use<'a> {
    spdx3::document(bill, catalog)
}

/// How SPDX names the licence of a row; none where the row stands for "not known".
pub(crate) fn spdx_identifier(license: &License) -> Option<String> {
    identity::identity(license).map(|identity| identity.text().to_owned())
}

/// The name of the gateway in a bill.
const GATEWAY: &str = "pointsman";

/// What the gateway is, in one line.
const ABOUT: &str = "One endpoint for all models: routed by policy, bound by licences, every decision on record";
