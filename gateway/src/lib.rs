//! The gateway: one HTTP endpoint in front of local engines and remote hosts.
//!
//! # The life of a request
//!
//! | step | module | what happens |
//! |---|---|---|
//! | 1 | [`accept`] | a connection is taken, within limits of count, time and header size |
//! | 2 | [`wire`] | the body is read within its bound and decoded; its bytes are kept |
//! | 3 | [`admit`] | the key ([`keys`]) or token ([`tokens`]) says who asks: team, context, and so the use |
//! | | [`quota`] | who asks for more than they may, or has spent what they may, is told when to come back |
//! | 4 | [`facts`] | what the request is: language, size, what it needs, which places have its prompt cached |
//! | 5 | [`route`] | facts and snapshot -> [`policies::plan`] -> candidates, each with its licence decision |
//! | | [`answers`] | where the route says so, the same request gets the answer of before |
//! | 6 | [`settle`] | the decision goes to the ledger; no byte is answered before it is durable |
//! | 7 | [`dispatch`] | candidates are tried in order until one commits |
//! | 8 | [`respond`] | the answer is framed: whole, streamed, or an error |
//! | 9 | [`settle`] | the outcome goes to the ledger: usage, cost, attempts |
//!
//! [`handle`] is these steps as one function, [`stack`] the layers around it on one page, [`runtime`] what one
//! loaded configuration is, [`instance`] what the ledger says of the gateway itself,
//! [`anchors`] who else holds on to it, [`retention`] how long it keeps records, [`subjects`] who stands behind the pseudonyms
//! in them, [`tally`] what engines and servers have counted themselves, [`evidence`] which pages are looked at that show duties
//! met, behind the [`guard`] of what may be fetched from, [`index`] where records can be asked in SQL, [`models`] where model
//! files are kept that were pulled, [`residency`] which models of this process are in memory.
//!
//! # What holds always
//!
//! - An attempt may be replaced until its first byte reached the caller, never after.
//! - Every candidate carries its own licence decision; fallback cannot cross one.
//! - Dropping a request's future or body, in any phase, cancels the upstream or frees the engine slot.
//! - Secrets and prompts are in no log, metric, error or ledger record.

#![forbid(unsafe_code)]

pub mod accept;
pub mod admin;
pub mod admit;
pub mod anchors;
pub mod answers;
pub mod batches;
pub mod cli;
pub mod config;
mod digest;
pub mod dispatch;
pub mod evidence;
pub mod facts;
pub mod files;
pub mod fleet;
pub mod guard;
pub mod handle;
pub mod index;
pub mod instance;
pub mod kept;
pub mod keys;
mod lines;
pub mod models;
pub mod observe;
pub mod openapi;
pub mod postgres;
pub mod quota;
pub mod residency;
pub mod respond;
pub mod retention;
pub mod route;
pub mod runtime;
pub mod settle;
pub mod stack;
pub mod subjects;
pub mod tally;
pub mod tokens;
pub mod whoami;
pub mod wire;
