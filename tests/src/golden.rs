//! Public bodies as files under `tests/golden/street`. What differs from run to run is masked by the name of
//! its member, so that the rest is compared byte for byte. `UPDATE_GOLDEN=1` writes the files anew.

use std::path::Path;

use serde_json::Value;

/// Members whose values are different each time.
const VOLATILE: [&str; 18] = [
    "access_token",
    "refresh_token",
    "created_at",
    "iat",
    "exp",
    "jti",
    "sid",
    "rand",
    "kid",
    "x",
    "y",
    "n",
    "auth_time",
    "lifespan",
    "lag_ms",
    "reported_ms_ago",
    "position",
    "head",
];

/// Compares with `<name>.json`. The issuer's address is masked wherever it stands.
pub fn compare(name: &str, seen: &Value, issuer: &str) {
    let mut seen = seen.clone();
    mask(&mut seen, issuer);
    let text = format!("{}\n", serde_json::to_string_pretty(&seen).expect("JSON can be written"));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("golden/street/{name}.json"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("the folder can be made");
        std::fs::write(&path, text).expect("the file can be written");
        return;
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, kept, "{name} has changed; if it should, run the tests with UPDATE_GOLDEN=1");
}

fn mask(value: &mut Value, issuer: &str) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                match VOLATILE.contains(&name.as_str()) && !value.is_object() && !value.is_array() {
                    true => *value = "...".into(),
                    false => mask(value, issuer),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| mask(item, issuer)),
        Value::String(text) => *text = text.replace(issuer, "ISSUER"),
        _ => {}
    }
}
