mod api_keys;
mod memberships;
mod sessions;
mod tenants;
