//! The operators' page names every setting.

use super::files;

#[test]
fn every_setting_is_documented() {
    let source = files(&["api/src/cli/settings/mod.rs"]).remove(0).text;
    let page = files(&["docs/operating.md"]).remove(0).text;
    let mut settings = 0;
    for rest in source.split("env = \"").skip(1) {
        let name = rest.split('"').next().unwrap_or_default();
        assert!(page.contains(&format!("`{name}`")), "docs/operating.md does not name {name}");
        settings += 1;
    }
    assert!(settings > 20, "{settings}");
}
