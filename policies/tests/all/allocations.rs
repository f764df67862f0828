//! How often a plan asks for memory: not more often among a thousand routes than among ten, hardly more often among
//! three hundred deployments than among thirty, and it gives everything back.

use allocation_counter::{AllocationInfo, measure};

use super::world::{World, asks, hosted};

/// What one plan for a request allocates among so many routes and deployments, the plan given back.
fn allocated(routes: usize, deployments: usize) -> AllocationInfo {
    let mut text = String::new();
    for route in 0..routes {
        text.push_str(&format!(
            "  - {{name: r{route}, match: {{model: m{route}}}, prefer: {{quality: 2, cost: 1}}, candidates: [any]}}\n"
        ));
    }
    let served = (0..deployments).map(|at| {
        let deployment = hosted(["groq", "together"][at % 2], ["qwen3-32b", "qwen3-8b"][at / 2 % 2], 0.1);
        policies::Deployment { id: format!("d{at}"), ..deployment }
    });
    let world = World::new(&text, served.collect());
    let facts = asks("m7");
    // The licence decisions of this use are worked out once.
    assert_eq!(world.plan(&facts).candidates.len(), 16, "as many as a plan lists");
    measure(|| drop(world.plan(&facts)))
}

#[test]
fn a_plan_asks_for_memory_as_often_among_a_thousand_routes_as_among_ten() {
    assert_eq!(allocated(1_000, 30).count_total, allocated(10, 30).count_total);
}

#[test]
fn a_plan_asks_for_memory_no_more_often_among_three_hundred_deployments_than_among_thirty() {
    let (few, many) = (allocated(10, 30), allocated(10, 300));
    assert_eq!(many.count_total, few.count_total);
    assert!(many.bytes_total < few.bytes_total * 10, "{many:?} for {few:?}");
    assert!(many.count_total < 32, "{many:?}");
}

#[test]
fn a_plan_that_is_dropped_leaves_nothing_behind() {
    let left = allocated(10, 300);
    assert_eq!((left.count_current, left.bytes_current), (0, 0));
}
