//! A file of settings, `NAME=value` a line under the names of the environment. Flags and environment
//! go before it. A name that is no setting is refused: it would be one that silently does nothing.

use std::collections::BTreeSet;
use std::path::Path;

use clap::Command;

const OWN_NAME: &str = "MC_CONFIG";

/// The command with what the file says as its defaults.
///
/// # Errors
/// A sentence that names the file and the line.
pub fn with_file(command: Command, path: &Path) -> Result<Command, String> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("{OWN_NAME} names {}, which cannot be read ({error}).", path.display()))?;
    with_text(command, &text).map_err(|fault| format!("{OWN_NAME}: {} {fault}.", path.display()))
}

fn with_text(mut command: Command, text: &str) -> Result<Command, String> {
    let mut seen = BTreeSet::new();
    for (line, text) in (1..).zip(text.lines()) {
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let (name, value) = text
            .split_once('=')
            .map(|(name, value)| (name.trim(), unquoted(value.trim())))
            .ok_or_else(|| format!("line {line} is not NAME=value"))?;
        let known = command
            .get_arguments()
            .find(|argument| name != OWN_NAME && argument.get_env().is_some_and(|variable| variable == name));
        let known = known.ok_or_else(|| format!("line {line} names no setting; see --help"))?;
        if !seen.insert(name.to_owned()) {
            return Err(format!("line {line} sets {name} again"));
        }
        let id = known.get_id().clone();
        let values: Vec<String> = match known.get_value_delimiter() {
            Some(delimiter) => value.split(delimiter).map(|part| part.trim().to_owned()).collect(),
            None => vec![value.to_owned()],
        };
        // What is in the file may be a secret: --help does not show it.
        command = command.mut_arg(id, |argument| argument.default_values(values).hide_default_value(true));
    }
    Ok(command)
}

/// `"…"` and `'…'` are written around values in such files.
fn unquoted(value: &str) -> &str {
    let inner = |quote| value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    inner('"').or_else(|| inner('\'')).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, FromArgMatches as _};
    use secrecy::ExposeSecret as _;

    use super::*;
    use crate::cli::{Cli, Settings};

    fn read(text: &str, arguments: &[&str]) -> Settings {
        let command = with_text(Cli::command(), text).unwrap();
        let all = ["mission-control"].iter().chain(arguments);
        Cli::from_arg_matches(&command.try_get_matches_from(all).unwrap()).unwrap().settings
    }

    #[test]
    fn a_file_is_read_and_flags_go_before_it() {
        let text = "# Ours\n\nMC_BIND = 127.0.0.1:9000\nMC_CORS_ORIGINS=https://a.example, https://b.example\n\
                    MC_ADMIN_PASSWORD=\"with = and 'quotes'\"\nMC_LEASE_SECONDS='30'\nMC_RATE_LIMIT=off\n";
        let settings = read(text, &["serve"]);
        assert_eq!(settings.bind.port(), 9000);
        assert_eq!(settings.cors_origins, ["https://a.example", "https://b.example"]);
        assert_eq!(settings.admin_password.unwrap().expose_secret(), "with = and 'quotes'");
        assert_eq!((settings.lease_seconds, settings.rate_limit.0), (30, None));
        assert_eq!(read(text, &["serve", "--lease-seconds=40"]).lease_seconds, 40);
        assert_eq!(read("", &["serve"]).lease_seconds, 60);
    }

    #[test]
    fn what_is_no_setting_is_refused_by_its_line() {
        for (text, fault) in [
            ("MC_BIND", "line 1 is not NAME=value"),
            ("\nMC_BNID=127.0.0.1:1", "line 2 names no setting"),
            ("MC_CONFIG=other", "line 1 names no setting"),
            ("MC_LOG=info\nMC_LOG=debug", "line 2 sets MC_LOG again"),
        ] {
            let refused = with_text(Cli::command(), text).unwrap_err();
            assert!(refused.starts_with(fault), "{text}: {refused}");
        }
    }

    #[test]
    fn a_secret_of_the_file_is_in_no_help() {
        let mut command = with_text(Cli::command(), "MC_MASTER_KEY=canary-1\nMC_SMTP_URL=canary-2").unwrap();
        let help = command.render_long_help().to_string();
        assert!(help.contains("MC_MASTER_KEY") && !help.contains("canary"), "{help}");
    }
}
