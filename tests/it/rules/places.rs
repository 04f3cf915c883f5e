//! Nothing names the machine it was written on, or the host that packages came from.

use super::files;

const HOSTS: [&str; 7] = [
    concat!("crates", ".io"),
    concat!("npmjs", ".org"),
    concat!("npmjs", ".com"),
    concat!("pypi", ".org"),
    concat!("python", "hosted.org"),
    concat!("debian", ".org"),
    concat!("proxy", ".golang"),
];

const FOLDERS: [&str; 4] =
    [concat!("/", "work/"), concat!("/", "w/"), concat!("/", "root/"), concat!("/", "home/")];

#[test]
fn no_file_names_a_machine_or_a_registry() {
    let mut found = Vec::new();
    for source in files(&["."]) {
        for (number, line) in source.text.lines().enumerate() {
            // Cargo.lock calls its source by the name of cargo's own index.
            let host = source.path != "Cargo.lock" && HOSTS.iter().any(|host| line.contains(host));
            let begins = |at: usize| {
                !line[..at].ends_with(|before: char| before.is_alphanumeric() || "._-/}\")".contains(before))
            };
            let folder = FOLDERS.iter().any(|folder| line.match_indices(folder).any(|(at, _)| begins(at)));
            if host || folder {
                found.push(format!("{}:{}", source.path, number + 1));
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}
