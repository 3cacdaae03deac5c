use super::*;

#[test]
fn a_public_address_requires_a_token_or_allow_anonymous() {
    let check = |sources: Sources, host: &str| sources.load().unwrap().check_binding(host.parse().unwrap()).is_ok();
    for loopback in ["127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"] {
        assert!(check(sources(), loopback), "{loopback}");
    }
    for open in ["0.0.0.0", "::", "192.168.0.1", "::ffff:10.0.0.1"] {
        assert!(!check(sources(), open), "{open}");
        assert!(!check(sources().flag("auth.admin_token", "0123456789abcdef"), open), "{open}");
        assert!(check(sources().flag("auth.token", "0123456789abcdef"), open), "{open}");
        assert!(check(sources().flag("auth.allow_anonymous", "true"), open), "{open}");
    }
}

#[test]
fn a_public_address_requires_tokens_of_16_characters() {
    for key in ["auth.token", "auth.admin_token"] {
        let short = sources().flag("auth.token", "0123456789abcdef").flag(key, "0123456789abcde").load().unwrap();
        let error = short.check_binding("0.0.0.0".parse().unwrap()).unwrap_err().to_string();
        assert!(error.contains(&format!("because {key} has 15 characters; use at least 16")), "{error}");
        short.check_binding("127.0.0.1".parse().unwrap()).unwrap();
    }
}

#[test]
fn a_loopback_address_is_relied_on_unless_a_token_or_consent_is_set() {
    let relies = |sources: Sources, host: &str| sources.load().unwrap().relies_on_loopback(host.parse().unwrap());
    assert!(relies(sources(), "127.0.0.1") && relies(sources().flag("auth.admin_token", "t"), "::1"));
    assert!(!relies(sources().flag("auth.token", "t"), "127.0.0.1"));
    assert!(!relies(sources().flag("auth.allow_anonymous", "true"), "127.0.0.1"));
    assert!(!relies(sources(), "0.0.0.0"));
}
