//! Keeps a gateway's parts of the limits that its fleet shares.
//!
//! A limit that runs low calls, and is asked for at once together with others that called; each second all that were lately of
//! use are asked for, so that what idles goes back and claims of places are renewed. What was not of use for ten seconds is
//! forgotten here until it calls again.

use std::{collections::HashMap, sync::Arc, time::Duration};

use redis::{FromRedisValue as _, Pipeline, RedisResult, Value};
use tokio::{
    sync::mpsc::UnboundedReceiver,
    time::{Instant, MissedTickBehavior, interval},
};

use super::valkey::Valkey;
use crate::{
    observe,
    quota::{Ask, Meters, Others, Places, Share, nanos_now},
};

/// How often the others are heard where nothing calls.
const EVERY: Duration = Duration::from_secs(1);
/// After this time without a call a limit is not of use any more.
const OF_USE: Duration = Duration::from_secs(10);
/// The most limits that are asked for together.
const TOGETHER: usize = 512;

/// A question that was asked.
enum Asked<'a> {
    Rate(&'a Share, Ask),
    Places(&'a Places),
}

/// Keeps them for as long as the process runs.
pub(super) async fn keep(valkey: Valkey, others: Arc<Others>, mut calls: UnboundedReceiver<Arc<Meters>>) {
    let mut of_use: HashMap<usize, (Arc<Meters>, Instant)> = HashMap::new();
    let mut epoch: Option<String> = None;
    let mut every = interval(EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut called = Vec::new();
    loop {
        called.clear();
        let ticked = tokio::select! {
            biased;
            _ = every.tick() => true,
            some = calls.recv_many(&mut called, TOGETHER) => match some {
                0 => return,
                _ => false,
            },
        };
        let now = Instant::now();
        for meters in &called {
            meters.asked();
            of_use.insert(Arc::as_ptr(meters).addr(), (Arc::clone(meters), now));
        }
        let heard = match (ticked, others.unheard_since().is_some()) {
            (true, _) => {
                let heard = hello(&valkey, &others, &mut epoch).await;
                let all: Vec<Arc<Meters>> = of_use.values().map(|(meters, _)| Arc::clone(meters)).collect();
                of_use.retain(|_, (meters, since)| now - *since < OF_USE || !meters.is_idle(nanos_now()));
                match heard {
                    Ok(()) => ask_all(&valkey, &all).await,
                    Err(error) => Err(error),
                }
            }
            (false, false) => ask_all(&valkey, &called).await,
            // They are asked again at the next tick.
            (false, true) => Ok(()),
        };
        if let Err(error) = heard {
            if others.lose(nanos_now()) {
                tracing::error!(%error, "the Valkey of the fleet cannot be asked; limits are kept by parts");
            }
            of_use.values().flat_map(|(meters, _)| meters.places()).for_each(|(_, places)| places.lost());
        }
        observe::fleet_store("valkey", others.unheard_since().is_none());
    }
}

/// Hears how many others there are.
async fn hello(valkey: &Valkey, others: &Others, epoch: &mut Option<String>) -> RedisResult<()> {
    let (heard, gateways) = valkey.hello(epoch.as_deref()).await?;
    if epoch.as_ref().is_some_and(|known| *known != heard) {
        tracing::warn!("the Valkey of the fleet lost what it had; limits take a minute to have their burst again");
    }
    *epoch = Some(heard);
    if others.hear(gateways) {
        tracing::info!(gateways, "the Valkey of the fleet is heard; limits hold for all gateways together");
    }
    Ok(())
}

async fn ask_all(valkey: &Valkey, meters: &[Arc<Meters>]) -> RedisResult<()> {
    for meters in meters.chunks(TOGETHER) {
        let (mut questions, mut asked) = (Pipeline::new(), Vec::new());
        for meters in meters {
            let name = meters.name();
            for (limit, rate) in meters.rates() {
                if let Some(share) = rate.share() {
                    let ask = share.ask();
                    valkey.ask_rate(&mut questions, &format!("{limit}:{name}"), rate.most(), ask);
                    asked.push(Asked::Rate(share, ask));
                }
            }
            for (limit, places) in meters.places() {
                if let Some(claim) = places.ask() {
                    valkey.ask_places(&mut questions, &format!("{limit}:{name}"), places.most(), claim);
                    asked.push(Asked::Places(places));
                }
            }
        }
        if asked.is_empty() {
            continue;
        }
        let answers: Vec<Value> = questions.query_async(&mut valkey.connection()).await?;
        let now = nanos_now();
        for (asked, answer) in asked.into_iter().zip(answers) {
            match asked {
                Asked::Rate(share, ask) => {
                    let (given, level): (u64, f64) = <(u64, f64)>::from_redis_value(answer)?;
                    share.heard(ask, given, level, now);
                }
                Asked::Places(places) => {
                    let (claimed, free) = <(u32, u32)>::from_redis_value(answer)?;
                    places.heard(claimed, free);
                }
            }
        }
    }
    Ok(())
}
