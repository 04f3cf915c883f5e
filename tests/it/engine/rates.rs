//! Rate limits beneath HTTP: no more than the rate and a burst, however many nodes ask at once.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use service::engine::rates::{self, RateLimit};
use service::engine::{Claim, Reserve, Taker, Turns};
use uuid::Uuid;

on_both! {
    idle;
    async fn whoever_asks_at_once_shares_the_burst(app: App) {
        let (tenant, id, now) = (app.acme.id.parse().unwrap(), Uuid::from_u128(1), app.core.clock.now());
        let limit = RateLimit { per_minute: 60, burst: Some(7) };
        let asked = join_all((0..40).map(|_| rates::take(&app.core.db, tenant, id, limit, now))).await;
        let mut places: Vec<_> = asked.into_iter().filter_map(Result::unwrap).collect();
        assert_eq!(places.len(), 33);
        // Each of the others has a place of its own, as far from the next as the rate says.
        places.sort_unstable();
        for (index, place) in (1..).zip(&places) {
            assert_eq!((*place - now).num_milliseconds(), index * 1_000);
        }
        assert_eq!(rates::next(&app.core.db, tenant, id, limit, now).await.unwrap(), Some(places[0]));
        // A place is no token: who comes early has none, and one that is unused stays for the others.
        let later = now + chrono::TimeDelta::milliseconds(2_999);
        let asked = join_all((0..9).map(|_| rates::take(&app.core.db, tenant, id, limit, later))).await;
        assert_eq!(asked.into_iter().filter(|asked| matches!(asked, Ok(None))).count(), 2);
        let other: Uuid = app.rival.id.parse().unwrap();
        assert_eq!(rates::take(&app.core.db, other, id, limit, later).await.unwrap(), None);
    }

    async fn claims_of_several_nodes_share_the_tokens(app: App) {
        let tool = app.acme.builtin("echo", "builtin/echo").await;
        let limit = json!({ "rateLimit": { "perMinute": 60, "burst": 5 } });
        app.acme.owner.patch(&format!("/v1/tools/{tool}"), limit).await.expect(200);
        let definition = app.acme.definition("limited", json!({ "toolId": tool })).await;
        for _ in 0..20 {
            app.acme.create(json!({ "definitionId": definition, "input": {} })).await;
        }
        let free = app.acme.builtin("free", "builtin/echo").await;
        let free = app.acme.definition("free", json!({ "toolId": free })).await;
        app.acme.create(json!({ "definitionId": free, "input": {} })).await;
        let turns = [Turns::default(), Turns::default(), Turns::default()];
        let claims = (1..).zip(&turns).map(async |(node, turns)| {
            let claim = Claim {
                db: &app.core.db,
                plans: &app.core.config.plans,
                turns,
                taker: &Taker::Node(Reserve::default()),
                owner: Uuid::from_u128(node),
                now: app.core.clock.now(),
                lease: Duration::from_secs(60),
            };
            let mut taken = 0;
            for _ in 0..4 {
                taken += claim.take(9).await.unwrap().runs.len();
            }
            taken
        });
        let taken: usize = join_all(claims).await.into_iter().sum();
        // One more token may have come while they looked.
        assert!((6..=7).contains(&taken), "five tokens, and a run of a tool without a limit: {taken}");
    }
}
