//! What a body asks to change of the wishes for a drone.

use serde_json::{Map, Value};
use swarm_core::request::DroneWishes;

use super::super::error::ApiError;

/// What 0.4 kept here and this version has elsewhere, with where.
const ELSEWHERE: [(&str, &str); 6] = [
    ("cores_limit", "set root.makeopts and the machine's own limits on the drone"),
    ("emerge_jobs", "set slots and root.makeopts in the drone's drone.toml"),
    ("ram_limit_gb", "limit the container or virtual machine itself"),
    ("max_failures", "set rules.failures_to_ground in controller.toml"),
    ("binhost_upload_url", "drones upload to the controller; set http.public_url in controller.toml"),
    ("locked", "use `swarm drone pause`"),
];
/// What the answer shows and nobody can set.
const SHOWN: [&str; 4] = ["node_name", "ssh_host_keys_learned", "ssh_host_keys_offered", "updated_at"];

/// The changes a body asks for: a field that is not there stays as it is, `null` takes a wish back.
///
/// # Errors
/// A password, a field nobody knows, or a value of the wrong kind.
pub fn changes(body: Map<String, Value>) -> Result<DroneWishes, ApiError> {
    let mut wishes = DroneWishes::default();
    for (name, value) in body {
        let blank = value.is_null() || value == "" || value == 0 || value == false;
        match name.as_str() {
            "ssh_user" => wishes.ssh_user = Some(text(&name, value)?),
            "ssh_host" => wishes.ssh_host = Some(text(&name, value)?),
            "ssh_key_path" => wishes.ssh_key_path = Some(text(&name, value)?),
            "vmid" => wishes.vmid = Some(text(&name, value)?),
            "display_name" => wishes.display_name = Some(text(&name, value)?),
            "notes" => wishes.notes = Some(text(&name, value)?),
            "ssh_port" => wishes.ssh_port = Some(read(&name, value, "a port from 1 to 65535")?),
            "auto_reboot" => wishes.auto_reboot = Some(read(&name, value, "true, false or null")?),
            "protected" => {
                let wanted: Option<bool> = read(&name, value, "true or false")?;
                wishes.protected = Some(wanted.unwrap_or(false));
            }
            "ssh_host_keys" => {
                wishes.ssh_host_keys = Some(read(&name, value, "a list of public keys or null")?);
            }
            _ if SHOWN.contains(&name.as_str()) => {}
            _ if name.contains("password") || name.contains("passphrase") => {
                if !blank {
                    return Err(ApiError::bad_request(format!("{name}: passwords are not kept here"))
                        .hint("put a key on the controller and name it in ssh_key_path"));
                }
            }
            _ => match ELSEWHERE.iter().find(|(known, _)| *known == name) {
                Some(_) if blank => {}
                Some((_, place)) => {
                    return Err(ApiError::bad_request(format!("{name} is not set here")).hint(*place));
                }
                None => {
                    let shown: String = name.chars().take(60).collect();
                    return Err(ApiError::bad_request(format!("there is no wish {shown:?}"))
                        .hint("GET the same path shows all there are"));
                }
            },
        }
    }
    Ok(wishes)
}

/// Text, or a number as text: a vmid is one.
fn text(name: &str, value: Value) -> Result<Option<String>, ApiError> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text)),
        Value::Number(number) => Ok(Some(number.to_string())),
        other => Err(wrong(name, &other, "text")),
    }
}

fn read<T: serde::de::DeserializeOwned>(name: &str, value: Value, kind: &str) -> Result<T, ApiError> {
    serde_json::from_value(value.clone()).map_err(|_| wrong(name, &value, kind))
}

fn wrong(name: &str, value: &Value, kind: &str) -> ApiError {
    let shown: String = value.to_string().chars().take(60).collect();
    ApiError::bad_request(format!("{name}: {shown} is not {kind}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(body: Value) -> Result<DroneWishes, ApiError> {
        let Value::Object(map) = body else { panic!("an object") };
        changes(map)
    }

    #[test]
    fn what_is_not_named_stays_and_null_takes_a_wish_back() {
        let wishes = of(json!({"ssh_user": "root", "vmid": 104, "auto_reboot": null, "protected": true})).unwrap();
        assert_eq!(wishes.ssh_user, Some(Some("root".to_owned())));
        assert_eq!((wishes.vmid, wishes.auto_reboot), (Some(Some("104".to_owned())), Some(None)));
        assert_eq!((wishes.protected, wishes.ssh_port), (Some(true), None));
    }

    #[test]
    fn a_password_is_refused_with_what_to_do_instead() {
        for name in ["ssh_password", "password", "key_passphrase"] {
            let error = of(json!({name: "hunter2"})).unwrap_err();
            assert!(error.body.error.contains("passwords are not kept"), "{error:?}");
            assert!(!format!("{error:?}").contains("hunter2"));
            of(json!({name: null})).unwrap();
        }
    }

    #[test]
    fn what_belongs_elsewhere_or_nowhere_is_told() {
        assert!(of(json!({"emerge_jobs": 4})).unwrap_err().body.hint.unwrap().contains("makeopts"));
        assert_eq!(
            of(json!({"emerge_jobs": null, "locked": false, "node_name": "x"})).unwrap(),
            DroneWishes::default()
        );
        assert!(of(json!({"frobnicate": 1})).unwrap_err().body.error.contains("frobnicate"));
        assert!(of(json!({"ssh_port": 70_000})).unwrap_err().body.error.contains("70000"));
        assert!(of(json!({"ssh_user": {}})).is_err());
    }
}
