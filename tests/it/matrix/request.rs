//! A case's request, with the ids of a world in it.

use std::collections::HashMap;

use serde_json::Value;

use super::cases::Case;
use super::world::World;
use crate::support::{Answer, Client};

/// A request whose ids are filled in.
#[derive(Clone)]
pub struct Request {
    pub method: &'static str,
    pub path: String,
    pub query: Vec<(String, String)>,
    pub body: Option<Value>,
}

impl Request {
    pub async fn send(&self, caller: &Client) -> Answer {
        self.send_with(caller, &[]).await
    }

    pub async fn send_with(&self, caller: &Client, headers: &[(&str, &str)]) -> Answer {
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.query).finish();
        let request = caller.request(self.method, &format!("{}?{query}", self.path));
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        caller
            .send(match &self.body {
                Some(body) => request.json(body),
                None => request,
            })
            .await
    }
}

/// What stands at a place of a request: a kind's id.
#[derive(Clone, Debug)]
pub struct Place {
    /// As in `positions`.
    pub position: String,
    pub kind: String,
}

impl Case {
    /// The places of ids in this case.
    pub fn places(&self) -> Vec<Place> {
        let operation = self.of();
        let mut places = Vec::new();
        for (name, value) in &self.parameters {
            let kind = if operation.path.contains(&format!("{{{name}}}")) { "path" } else { "query" };
            places.push(Place { position: format!("{kind}:{name}"), kind: (*value).to_owned() });
        }
        if let Some(body) = &self.body {
            find(body, "", &mut places);
        }
        places
    }

    /// The request, with `other` standing at its place; `shared` makes nothing new.
    pub async fn request(&self, world: &World<'_>, other: Option<(&str, &str)>, shared: bool) -> Request {
        let operation = self.of();
        let mut path = operation.path.clone();
        let mut values = HashMap::new();
        let places = self.places();
        // What cursors are of depends on the path.
        for place in &places {
            let value = match other {
                Some((position, id)) if position == place.position => id.to_owned(),
                _ => world.value(&place.kind, &path, shared).await,
            };
            if let Some(name) = place.position.strip_prefix("path:") {
                path = path.replace(&format!("{{{name}}}"), &value);
            }
            values.insert(place.position.clone(), value);
        }
        let in_query = |place: &Place| {
            let name = place.position.strip_prefix("query:")?;
            Some((name.to_owned(), values[&place.position].clone()))
        };
        let query = places.iter().filter_map(in_query).collect();
        let mut body = self.body.clone();
        if let Some(body) = &mut body {
            for place in &places {
                if let Some(pointer) = place.position.strip_prefix("body:") {
                    *body.pointer_mut(pointer).unwrap() = values[&place.position].clone().into();
                }
            }
        }
        Request { method: operation.method, path, query, body }
    }
}

/// Strings of a body that are filled in.
fn find(body: &Value, pointer: &str, places: &mut Vec<Place>) {
    match body {
        Value::String(kind) if kind.starts_with('@') || kind.contains('#') => {
            places.push(Place { position: format!("body:{pointer}"), kind: kind.clone() });
        }
        Value::Object(fields) => {
            fields.iter().for_each(|(name, value)| find(value, &format!("{pointer}/{name}"), places));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(n, value)| find(value, &format!("{pointer}/{n}"), places));
        }
        _ => {}
    }
}
