mod api_keys;
mod memberships;
mod sessions;
mod tenants;
mod verification_tokens;
