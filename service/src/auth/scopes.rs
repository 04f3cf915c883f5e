//! The scopes of an API key: the permissions it was given, or `*` for all of its maker's.
//!
//! A scope is exactly one permission. `agents:write` does not include `agents:read`: a key that
//! may only create runs cannot read what others created.

use std::collections::BTreeSet;

use super::permissions::{self, PermissionRow};
use crate::error::{Error, FieldError, Result};

pub const MAX_SCOPES: usize = 64;
const EVERYTHING: &str = "*";

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scopes {
    /// `*`: whatever the key's maker may do at the time of the call.
    Everything,
    /// Names in the table of permissions.
    Named(BTreeSet<&'static str>),
}

impl Scopes {
    /// Reads what a user asks for: 1 to [`MAX_SCOPES`] names of permissions, or `*`.
    ///
    /// # Errors
    /// [`Error::Invalid`] at `/scopes` or `/scopes/N`, with every wrong entry.
    pub fn parse(scopes: &[String]) -> Result<Self> {
        if scopes.is_empty() {
            return Err(Error::invalid("/scopes", "too_few", "Name at least one scope."));
        }
        if scopes.len() > MAX_SCOPES {
            let message = format!("At most {MAX_SCOPES} scopes can be given.");
            return Err(Error::invalid("/scopes", "too_many", message));
        }
        let unknown = |(index, _): (usize, &String)| {
            let pointer = format!("/scopes/{index}");
            FieldError::new(pointer, "unknown_scope", "There is no such permission.")
        };
        let is_unknown =
            |(_, scope): &(usize, &String)| *scope != EVERYTHING && permissions::find(scope).is_none();
        let errors: Vec<_> = scopes.iter().enumerate().filter(is_unknown).map(unknown).collect();
        if errors.is_empty() { Ok(Self::from_stored(scopes)) } else { Err(Error::Invalid { errors }) }
    }

    /// Reads what was stored. A name that is no longer in the table grants nothing.
    pub fn from_stored<S: AsRef<str>>(scopes: &[S]) -> Self {
        if scopes.iter().any(|scope| scope.as_ref() == EVERYTHING) {
            return Self::Everything;
        }
        let known = scopes.iter().filter_map(|scope| permissions::find(scope.as_ref()));
        Self::Named(known.map(|row| row.name).collect())
    }

    /// What to store and to show, sorted and without repetition.
    pub fn names(&self) -> Vec<&'static str> {
        match self {
            Self::Everything => vec![EVERYTHING],
            Self::Named(names) => names.iter().copied().collect(),
        }
    }

    pub fn allows(&self, permission: &PermissionRow) -> bool {
        match self {
            Self::Everything => true,
            Self::Named(names) => names.contains(permission.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::permissions::{Permission as _, agents};

    fn parse(scopes: &[&str]) -> Result<Scopes> {
        Scopes::parse(&scopes.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    fn pointers(scopes: &[&str]) -> Vec<String> {
        let Err(Error::Invalid { errors }) = parse(scopes) else { panic!("accepted {scopes:?}") };
        errors.into_iter().map(|error| error.pointer).collect()
    }

    #[test]
    fn a_scope_is_one_permission_and_no_other() {
        for row in permissions::ALL {
            let scopes = parse(&[row.name]).unwrap();
            for other in permissions::ALL {
                assert_eq!(scopes.allows(other), row == other);
            }
            assert!(parse(&["*"]).unwrap().allows(row));
        }
    }

    #[test]
    fn wrong_entries_are_named_by_their_place() {
        assert_eq!(pointers(&["agents:read", "agents:fly", "*", "agents"]), ["/scopes/1", "/scopes/3"]);
        for scope in ["", "agents:*", "Agents:read", "agents:read ", "**", "*:read"] {
            assert_eq!(pointers(&[scope]), ["/scopes/0"]);
        }
        assert_eq!(pointers(&[]), ["/scopes"]);
        assert_eq!(pointers(&["agents:read"; MAX_SCOPES + 1]), ["/scopes"]);
        assert!(parse(&["agents:read"; MAX_SCOPES]).is_ok());
    }

    #[test]
    fn what_is_stored_reads_back() {
        for scopes in [&["*"][..], &["tools:read", "agents:read", "tools:read"], &["*", "agents:read"]] {
            let scopes = parse(scopes).unwrap();
            assert_eq!(Scopes::from_stored(&scopes.names()), scopes);
        }
        assert_eq!(parse(&["tools:read", "agents:read", "tools:read"]).unwrap().names().len(), 2);
        assert!(!Scopes::from_stored(&["agents:gone"]).allows(&agents::Read::ROW));
        assert!(!Scopes::from_stored::<String>(&[]).allows(&agents::Read::ROW));
    }
}
