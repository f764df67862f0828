//! What the gateway makes of everything that an upstream or a caller can do wrong.
//!
//! [`outcomes`] plays every fault of the scripted host against every API and form of an answer and holds the table
//! `outcomes.md`; [`callers`] goes away, or stands still, in every phase of a request. A real gateway process, real
//! sockets; nothing waits for a time to pass but the gateway's own deadlines.

mod bed;
mod callers;
mod cell;
mod outcomes;
mod promises;
mod saw;
