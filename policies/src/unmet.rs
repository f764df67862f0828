//! What a deployment lacks of what a route requires, as far as that can be told before any request.
//!
//! The first requirement that is not met, as a stable code and a sentence with what it has and what is asked. What is
//! not known does not meet a requirement. What is asked of each plan instead - times, errors, duties - is in
//! [`crate::route::Limits`].

use catalog::Model;

use crate::{Deployment, route::Require, table::Row};

/// A stable code and a sentence.
pub(crate) type Reason = (&'static str, String);

/// Why `deployment` is out.
pub(crate) fn unmet(row: &Row, deployment: &Deployment, model: &Model, require: &Require) -> Option<Reason> {
    unmet_by_model(model, require).or_else(|| unmet_by_place(row, deployment, require))
}

/// Why every deployment of `model` is out.
pub(crate) fn unmet_by_model(model: &Model, require: &Require) -> Option<Reason> {
    if let Some(max) = require.max_tier.as_ref().map(|max| max.value).filter(|max| model.tier > *max) {
        let reason = format!("its licence `{}` is {}; the route allows up to {max}", model.license, model.tier);
        return Some(("required-license", reason));
    }
    if let Some(allow) = &require.allow_licenses
        && let Some(id) = model.licenses().find(|id| allow.iter().all(|allowed| allowed.value != *id))
    {
        return Some(("required-license", format!("its licence `{id}` is not among those the route allows")));
    }
    if let Some(id) = model.licenses().find(|id| require.deny_licenses.iter().any(|denied| denied.value == *id)) {
        return Some(("required-license", format!("the route denies its licence `{id}`")));
    }
    if let Some(wanted) = &require.openness
        && !wanted.iter().any(|wanted| model.openness.as_deref() == Some(wanted))
    {
        let has = model.openness.as_deref().unwrap_or("not known");
        return Some(("required-openness", format!("its openness is {has}; the route requires {}", wanted.join(", "))));
    }
    for (benchmark, min) in &require.benchmarks {
        let reason = match model.benchmarks.get(&benchmark.value) {
            Some(score) if *score >= min.value => continue,
            Some(score) => format!("it has {score} in `{}`; the route requires {}", benchmark.value, min.value),
            None => format!("its score in `{}` is not known; the route requires {}", benchmark.value, min.value),
        };
        return Some(("required-benchmark", reason));
    }
    None
}

fn unmet_by_place(row: &Row, deployment: &Deployment, require: &Require) -> Option<Reason> {
    if let Some(local) = require.local.as_ref().map(|local| local.value).filter(|local| *local != row.local) {
        let reason = match local {
            true => "it does not run in this process, which the route requires",
            false => "it runs in this process, which the route rules out",
        };
        return Some(("required-local", reason.to_owned()));
    }
    if let Some(min) = require.min_context_tokens {
        let (what, has) = match require.effective {
            true => ("effective context", deployment.effective_context_tokens),
            false => ("context window", row.context_tokens),
        };
        match has {
            Some(tokens) if tokens >= min => {}
            Some(tokens) => {
                let reason = format!("its {what} holds {tokens} tokens; the route requires {min}");
                return Some(("required-context", reason));
            }
            None => {
                let reason = format!("its {what} is not known; the route requires {min} tokens");
                return Some(("required-context", reason));
            }
        }
    }
    if let Some(missing) = require.capabilities.iter().find(|c| !row.has.contains(*c)) {
        let known = if row.lacks.contains(missing) { "it lacks" } else { "it is not known to have" };
        return Some(("required-capability", format!("{known} `{missing}`, which the route requires")));
    }
    if let Some(regions) = &require.region {
        let local = row.local && regions.iter().any(|region| region == "local");
        if let Some(reason) = outside(local, deployment.region.as_deref(), regions, "region") {
            return Some(("required-region", reason));
        }
    }
    // An engine in this process keeps nothing and trains nothing, unless its deployment says otherwise.
    let kept = [
        ("required-retention", "retention", &deployment.retention, &require.retention),
        ("required-training-use", "training use", &deployment.training_use, &require.training_use),
    ];
    for (code, what, has, required) in kept {
        let Some(required) = required else { continue };
        let local = row.local && has.is_none() && required.iter().any(|word| word == "none");
        if let Some(reason) = outside(local, has.as_deref(), required, what) {
            return Some((code, reason));
        }
    }
    if let Some(hardware) = &require.hardware {
        let wanted: Vec<&str> = hardware.iter().map(|wanted| wanted.value.as_str()).collect();
        if let Some(reason) = outside(false, deployment.hardware.as_deref(), &wanted, "hardware") {
            return Some(("required-hardware", reason));
        }
    }
    if let Some(min) = require.min_bits {
        match deployment.quantization_bits {
            Some(bits) if f64::from(bits) >= min => {}
            Some(bits) => {
                let reason = format!("its weights have {bits} bits; the route requires {min}");
                return Some(("required-quantization", reason));
            }
            None => {
                let reason = format!("the bits of its weights are not known; the route requires {min}");
                return Some(("required-quantization", reason));
            }
        }
    }
    dear("prompt", row.input_usd, require.max_input_usd)
        .or_else(|| dear("answer", row.output_usd, require.max_output_usd))
        .map(|reason| ("required-price", reason))
}

/// Why a place is not among those that the route requires; `excused` where it counts as one of them anyway.
fn outside<S: AsRef<str>>(excused: bool, has: Option<&str>, required: &[S], what: &str) -> Option<String> {
    let required: Vec<&str> = required.iter().map(AsRef::as_ref).collect();
    let wanted = required.join(", ");
    match has {
        _ if excused => None,
        Some(has) if required.contains(&has) => None,
        Some(has) => Some(format!("its {what} is {has}; the route requires {wanted}")),
        None => Some(format!("its {what} is not known; the route requires {wanted}")),
    }
}

/// Why a price is above its limit.
fn dear(what: &str, usd: Option<f32>, max: Option<f64>) -> Option<String> {
    let max = max?;
    match usd {
        // A price is kept as f32; the limit is rounded alike, so that a price at its limit passes.
        Some(usd) if usd <= max as f32 => None,
        Some(usd) => Some(format!("{usd} USD per million {what} tokens; the route allows {max}")),
        None => Some(format!("its price of {what} tokens is not known; the route allows {max} USD per million")),
    }
}
