//! `docs/otlp-mapping.md` shows the convention table as it is. `ENDSPAN_WRITE_DOCS=1` writes it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails may panic")]

use std::path::Path;

use endspan_otlp::conventions::{Side, TABLE, VERSION};

const BEGIN: &str = "<!-- table: written by the tests of crates/otlp -->\n";
const END: &str = "<!-- end of table -->\n";

fn table() -> String {
    let mut text = "\n| Attribute | Says | Convention | Kept in |\n|---|---|---|---|\n".to_owned();
    for rule in TABLE {
        let side = match rule.field.side() {
            Side::Input => "input",
            Side::Output => "output",
            Side::Metadata => "metadata",
        };
        let field = format!("{:?}", rule.field).replace('"', "`");
        text.push_str(&format!("| `{}` | {field} | {:?} | {side} |\n", rule.source, rule.convention));
    }
    text.push('\n');
    text
}

#[test]
fn the_document_shows_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/otlp-mapping.md");
    let document = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = document.split_once(BEGIN).unwrap();
    let (shown, after) = rest.split_once(END).unwrap();
    assert!(before.contains(&format!("\nVersion {VERSION}. ")), "the document names the version");
    if shown != table() {
        if std::env::var_os("ENDSPAN_WRITE_DOCS").is_some() {
            std::fs::write(&path, format!("{before}{BEGIN}{}{END}{after}", table())).unwrap();
            return;
        }
        panic!("{} shows an old table: run with ENDSPAN_WRITE_DOCS=1", path.display());
    }
}
