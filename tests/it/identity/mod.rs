mod api_keys;
mod me;
mod memberships;
mod sessions;
mod team_invites;
mod tenant_limits;
mod tenants;
mod verification_tokens;
