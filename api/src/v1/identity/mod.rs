//! Who people and programs are, and where they belong.

mod accounts;
mod api_key_usage;
mod api_keys;
mod jwks;
mod me;
mod memberships;
mod second_factors;
mod sessions;
mod team_invites;
mod team_members;
mod tenant;
mod tenant_domains;
mod tenant_emergency_stop;
mod tenant_limits;
mod tenant_sign_in;
mod tenants;
mod tokens;
mod users;
mod verification_tokens;
mod whoami;
mod workspaces;

use utoipa_actix_web::service_config::ServiceConfig;

pub fn routes(config: &mut ServiceConfig) {
    config
        .configure(sessions::routes)
        .configure(second_factors::routes)
        .configure(accounts::routes)
        .configure(verification_tokens::routes)
        .configure(jwks::routes)
        .configure(whoami::routes)
        .configure(me::routes)
        .configure(tenant::routes)
        .configure(tenant_emergency_stop::routes)
        .configure(tenant_limits::routes)
        .configure(tenant_sign_in::routes)
        .configure(tenant_domains::routes)
        .configure(tenants::routes)
        .configure(users::routes)
        .configure(memberships::routes)
        .configure(team_invites::routes)
        .configure(workspaces::routes)
        .configure(team_members::routes)
        .configure(api_keys::routes)
        .configure(api_key_usage::routes)
        .configure(tokens::routes);
}
