//! Mirrored requests: sent beside the one that answers the caller, and their answers thrown away.
//!
//! A mirrored request is a request of its own to whoever looks on: its decision and outcome are recorded under an id that
//! ends in `-shadow`, its attempt counts in the statistics, its tokens cost what they cost. It never holds up or changes
//! what the caller gets. Only so many run at a time; what is beyond is not sent, and counted.

use std::sync::Arc;

use backends::Request;
use policies::{Facts, Plan, Verdict};
use tokio::{sync::OwnedSemaphorePermit, time::Instant};

use super::{Answered, Work, answer};
use crate::{
    keys::Grant,
    observe,
    respond::{Told, body::Body},
    runtime::{Gateway, Runtime},
    settle::{self, Asked, Named, Settlement},
    wire::{ClientApi, Manner},
};

/// The most mirrored requests that run at a time.
pub const MOST: usize = 64;

/// A request to be mirrored.
pub struct Mirrored {
    /// Where its records go.
    pub gateway: Arc<Gateway>,
    /// What the other request was planned by.
    pub runtime: Arc<Runtime>,
    /// The client API.
    pub api: ClientApi,
    /// The id of the request that the caller is answered by.
    pub of: String,
    /// Who asks.
    pub caller: Grant,
    /// What policies saw.
    pub facts: Facts,
    /// How the records of both name who asks.
    pub named: Named,
    /// Whom it goes to.
    pub plan: Plan,
    /// What is sent.
    pub request: Arc<Request>,
}

impl Mirrored {
    /// Sends it, if there is room.
    pub fn send(self) {
        let Ok(room) = Arc::clone(&self.gateway.shadows).try_acquire_owned() else {
            observe::mirrored("no_room");
            return;
        };
        tokio::spawn(self.run(room));
    }

    async fn run(self, _room: OwnedSemaphorePermit) {
        let Self { gateway, runtime, api, of, caller, facts, named, plan, request } = self;
        let id = format!("{of}-shadow");
        let (shadow_of, caller, facts) = (Some(of.as_str()), &caller, &facts);
        let asked = Asked { api, id: &id, shadow_of, answer_of: None, caller, facts, named: &named };
        // A ledger that takes no record was reported where it failed, and nothing is sent that is not recorded.
        let Ok(ticket) = settle::decide(&gateway.ledger, &runtime, &asked, &plan) else { return };
        if plan.verdict != Verdict::Serve {
            observe::mirrored(plan.verdict.as_str());
            return;
        }
        observe::mirrored("sent");
        let settlement = Settlement::new(gateway.ledger.clone(), id.clone(), Instant::now(), facts.prompt_tokens);
        // Nobody reads it: as it comes is cheapest.
        let told = Told {
            manner: &Manner::OpenAi,
            model: "",
            created: 0,
            include_usage: true,
            prompt_tokens: facts.prompt_tokens,
            shelf: None,
        };
        let log = gateway.instance.log();
        let work = Work { log, runtime: &runtime, plan: &plan, request: &request, told, facts, leave: None };
        if let Ok(Answered { body: Body::Sse(mut stream), .. }) = answer(work, None, ticket, settlement).await {
            while std::future::poll_fn(|cx| stream.poll_bytes(cx)).await.is_some() {}
        }
    }
}
