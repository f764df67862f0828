//! Tells a webhook that a budget runs out or is used up.
//!
//! Messages are those of Standard Webhooks (standardwebhooks.com): `webhook-id`, `webhook-timestamp` and
//! `webhook-signature: v1,BASE64`, the HMAC-SHA256 of `id.timestamp.body` by the configured secret, so that a receiver knows who
//! speaks, takes no message twice and none that is old. An answer of 2xx ends it; anything else is tried again with longer and
//! longer pauses, for about an hour. A message holds names of the configuration and amounts, nothing of any request.

use std::time::Duration;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use ring::hmac;
use serde::Serialize;
use tokio::{sync::mpsc, task::JoinSet, time::sleep};

use super::{
    book::{Crossed, Standing},
    status::usd,
};
use crate::{
    config::{Budget, Every, Quota, Webhook},
    runtime::Gateway,
};

/// How often a message is tried, and the pause before the second time; each later one is twice as long.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_secs(4);
/// The most messages that are being told; later ones wait.
const AT_ONCE: usize = 16;

/// A share of a budget was spent.
#[derive(Clone, Debug, Serialize)]
pub struct Alert {
    /// What happened.
    pub r#type: &'static str,
    /// The quota that has the budget.
    pub quota: String,
    /// Whose, where the quota tells some apart.
    pub subject: String,
    /// The period of the budget.
    pub every: Every,
    /// What may be spent.
    pub budget_usd: f64,
    /// What was spent or is set aside for requests that run.
    pub spent_usd: f64,
    /// When the next period begins, in seconds since 1970.
    pub ends: i64,
}

impl Alert {
    /// Of a budget as it stands.
    pub(super) fn new(quota: &Quota, subject: &str, budget: &Budget, crossed: Crossed, standing: Standing) -> Self {
        Self {
            r#type: match crossed {
                Crossed::Warn => "budget.warning",
                Crossed::Stop => "budget.used_up",
            },
            quota: quota.name.clone(),
            subject: subject.to_owned(),
            every: budget.every,
            budget_usd: budget.usd,
            spent_usd: usd(standing.spent),
            ends: standing.period.ends,
        }
    }
}

/// Tells the webhook of the configuration of all that comes, for as long as the process runs.
pub async fn tell_all(gateway: std::sync::Arc<Gateway>, mut alerts: mpsc::Receiver<Alert>) {
    let mut telling = JoinSet::new();
    while let Some(alert) = alerts.recv().await {
        let Some(webhook) = gateway.runtime().config.webhook.clone() else { continue };
        if telling.len() >= AT_ONCE {
            let _ = telling.join_next().await;
        }
        telling.spawn(tell(gateway.client().clone(), webhook, alert));
    }
}

/// Tells one, until it is heard.
async fn tell(client: remote::Client, webhook: Webhook, alert: Alert) {
    let id = format!("msg_{}", uuid::Uuid::now_v7().simple());
    let body = Bytes::from(serde_json::to_vec(&alert).expect("strings and numbers serialise"));
    let mut pause = PAUSE;
    for attempt in 1..=TRIES {
        let timestamp = super::unix_now().to_string();
        let signature = format!("v1,{}", signature(webhook.secret.expose(), &id, &timestamp, &body));
        let headers = [
            ("content-type", "application/json"),
            ("webhook-id", &*id),
            ("webhook-timestamp", &*timestamp),
            ("webhook-signature", &*signature),
        ];
        let why = match client.post(&webhook.url, &headers, body.clone()).await {
            Ok((status, _)) if status.is_success() => return,
            Ok((status, _)) => format!("it answered {}", status.as_u16()),
            Err(error) => error,
        };
        tracing::warn!(attempt, why, "the webhook did not take a message");
        if attempt < TRIES {
            sleep(pause).await;
            pause *= 2;
        }
    }
    tracing::error!(quota = alert.quota, "the webhook never took a message; it is in the log alone");
}

/// Of a message, in base64. A secret of the form `whsec_BASE64` is what it decodes to, as the convention has it.
fn signature(secret: &str, id: &str, timestamp: &str, body: &[u8]) -> String {
    let decoded = secret.strip_prefix("whsec_").and_then(|text| BASE64_STANDARD.decode(text).ok());
    let key = hmac::Key::new(hmac::HMAC_SHA256, decoded.as_deref().unwrap_or(secret.as_bytes()));
    let mut message = hmac::Context::with_key(&key);
    for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
        message.update(part);
    }
    BASE64_STANDARD.encode(message.sign())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_signed_as_the_convention_says() {
        // The example of the convention's own libraries.
        let signature = signature(
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "1614265330",
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(signature, "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }
}
