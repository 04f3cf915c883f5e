//! `/v1/model-prices` as a caller sees it.

use serde_json::json;

on_both! {
    async fn the_tenants_price_goes_before_the_built_in_one(app: App) {
        let built_in = app.acme.owner.get("/v1/built-in-model-prices").await.expect(200);
        assert!(built_in["data"].as_array().unwrap().iter().any(|price| price["model"] == "mock/echo"));
        let price = json!({ "model": "mock/echo", "perMillionTokens": { "input": "1000000", "output": "0" } });
        let made = app.acme.owner.post("/v1/model-prices", price).await.expect(201);
        assert_eq!(made["perMillionTokens"]["cacheRead"], "1000000");
        let agent = app.acme.agent("a", json!({})).await;
        let run = app.acme.run(json!({ "agentId": agent, "input": "hello there" })).await;
        assert_eq!(run["cost"], run["tokensUsed"]["input"].to_string(), "{run}");
        let other = app.rival.agent("a", json!({})).await;
        let run = app.rival.run(json!({ "agentId": other, "input": "hello there" })).await;
        assert!(run["cost"].as_str().unwrap().starts_with("0.0"), "{run}");
    }

    async fn amounts_are_decimal_strings_of_usd(app: App) {
        for (prices, currency, pointer) in [
            (json!({ "input": "-1", "output": "1" }), "USD", "/perMillionTokens/input"),
            (json!({ "input": 1, "output": "1" }), "USD", "/perMillionTokens/input"),
            (json!({ "input": "1", "output": "1" }), "EUR", "/currency"),
        ] {
            let body = json!({ "model": "m", "currency": currency, "perMillionTokens": prices });
            let refused = app.acme.owner.post("/v1/model-prices", body).await.expect(422);
            assert_eq!(refused["errors"][0]["pointer"], pointer, "{refused}");
        }
    }
}
