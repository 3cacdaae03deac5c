use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use proptest::prelude::*;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};

use super::super::server_tokens::hash;
use super::*;

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

fn rules(issuer: Option<&str>, audience: Option<&str>) -> Rules {
    let expected = Expected { issuer: issuer.map(str::to_owned), audience: audience.map(str::to_owned) };
    Rules { expected, user_claim: "sub".to_owned() }
}

fn tokens(rules: Rules) -> UserTokens {
    UserTokens::new(rules, KeySource::Secret(SECRET.to_vec())).unwrap().0
}

fn check(tokens: &UserTokens, token: &str) -> Result<Arc<UserToken>, TokenError> {
    tokens.verify(token, &hash(token))
}

/// A token with this header and these claims, signed by `sign`.
fn signed(header: Value, claims: Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let message = format!("{}.{}", BASE64.encode(header.to_string()), BASE64.encode(claims.to_string()));
    let signature = BASE64.encode(sign(message.as_bytes()));
    format!("{message}.{signature}")
}

fn hs256(claims: Value) -> String {
    signed(json!({ "alg": "HS256" }), claims, hmac(SECRET))
}

fn hmac(secret: &[u8]) -> impl Fn(&[u8]) -> Vec<u8> {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret);
    move |message| ring::hmac::sign(&key, message).as_ref().to_vec()
}

fn in_s(seconds: f64) -> f64 {
    now_s() + seconds
}

#[test]
fn a_minted_token_is_valid_for_its_user_and_scopes() {
    let rules = rules(Some("shop"), Some("m3a3"));
    let lifetime = Duration::from_secs(60);
    let minted = Minted { user: "7", username: Some("ada"), scopes: &[Scope::Score], lifetime };
    let token = mint(SECRET, &rules, &minted).unwrap();
    let verified = check(&tokens(rules), &token).unwrap();
    assert_eq!((verified.subject.as_str(), verified.username.as_ref().unwrap().as_str()), ("7", "ada"));
    assert_eq!(verified.scopes, Scopes::known("score"));
    assert!((verified.expires - in_s(60.0)).abs() < 5.0);
}

#[test]
fn times_have_a_leeway_of_30_seconds_also_in_the_cache() {
    let tokens = tokens(rules(None, None));
    let exp = in_s(600.0);
    for (claims, expected) in [
        (json!({ "sub": "7", "exp": in_s(-20.0) }), None),
        (json!({ "sub": "7", "exp": in_s(-40.0) }), Some(TokenError::Expired)),
        (json!({ "sub": "7", "exp": exp, "nbf": in_s(20.0) }), None),
        (json!({ "sub": "7", "exp": exp, "nbf": in_s(40.0) }), Some(TokenError::NotYetValid)),
    ] {
        assert_eq!(check(&tokens, &hs256(claims.clone())).err(), expected, "{claims}");
    }
    let token = UserToken {
        subject: "7".to_owned(),
        username: None,
        scopes: Scopes::default(),
        not_before: 100.0,
        expires: 200.0,
    };
    assert_eq!(
        [69.0, 71.0, 229.0, 230.0].map(|now| token.check_time(now)),
        [Err(TokenError::NotYetValid), Ok(()), Ok(()), Err(TokenError::Expired)]
    );
}

#[test]
fn claims_are_required_and_checked() {
    let tokens = tokens(rules(Some("shop"), Some("m3a3")));
    let good = json!({ "sub": "7", "exp": in_s(60.0), "iss": "shop", "aud": ["other", "m3a3"] });
    assert!(check(&tokens, &hs256(good.clone())).is_ok());
    let claim = |name: &str| Some(TokenError::Claim(name.to_owned()));
    for (name, value, expected) in [
        ("exp", Value::Null, claim("exp")),
        ("exp", json!("2030-01-01"), claim("exp")),
        ("exp", json!("9999999999"), claim("exp")),
        ("nbf", json!("9999999999"), claim("nbf")),
        ("iss", Value::Null, claim("iss")),
        ("iss", json!("evil"), Some(TokenError::Issuer)),
        ("aud", Value::Null, claim("aud")),
        ("aud", json!("evil"), Some(TokenError::Audience)),
        ("aud", json!([]), Some(TokenError::Audience)),
        ("sub", Value::Null, claim("sub")),
        ("sub", json!(""), claim("sub")),
        ("sub", json!("x".repeat(256)), claim("sub")),
        ("sub", json!(7), None),
        ("sub", json!(7.5), claim("sub")),
        ("sub", json!(["7"]), Some(TokenError::Malformed("its claims cannot be read"))),
        ("scope", json!(["upload"]), claim("scope")),
        ("scope", json!("openid"), None),
        ("username", json!(""), claim("username")),
        ("username", json!(7), claim("username")),
    ] {
        let mut claims = good.clone();
        claims[name] = value.clone();
        assert_eq!(check(&tokens, &hs256(claims)).err(), expected, "{name} {value}");
    }
}

#[test]
fn only_the_algorithm_of_the_configured_key_is_accepted() {
    let claims = json!({ "sub": "7", "exp": in_s(60.0) });
    let by_secret = tokens(rules(None, None));
    let no_signature = |_: &[u8]| Vec::new();
    for algorithm in ["none", "None", "HS257", ""] {
        let token = signed(json!({ "alg": algorithm }), claims.clone(), no_signature);
        assert!(matches!(check(&by_secret, &token), Err(TokenError::Malformed(_))), "{algorithm}");
    }
    for algorithm in ["HS384", "HS512", "RS256", "ES256", "EdDSA"] {
        let token = signed(json!({ "alg": algorithm }), claims.clone(), hmac(SECRET));
        assert!(matches!(check(&by_secret, &token), Err(TokenError::Algorithm { .. })), "{algorithm}");
    }
    let wrong = signed(json!({ "alg": "HS256" }), claims.clone(), hmac(b"another secret of at least 32 bytes"));
    assert_eq!(check(&by_secret, &wrong).err(), Some(TokenError::Signature));
    let unsigned = signed(json!({ "alg": "HS256" }), claims.clone(), no_signature);
    assert_eq!(check(&by_secret, &unsigned).err(), Some(TokenError::Signature));
    let critical = signed(json!({ "alg": "HS256", "crit": ["b64"], "b64": false }), claims, hmac(SECRET));
    assert!(matches!(check(&by_secret, &critical), Err(TokenError::Malformed(_))));
}

/// Key pairs, and the file with their public keys.
struct Pairs {
    ed25519: Ed25519KeyPair,
    p256: EcdsaKeyPair,
    file: tempfile::NamedTempFile,
}

impl Pairs {
    fn new() -> Self {
        let random = SystemRandom::new();
        let ed25519 = Ed25519KeyPair::from_pkcs8(Ed25519KeyPair::generate_pkcs8(&random).unwrap().as_ref()).unwrap();
        let p256 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let p256 = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, p256.as_ref(), &random).unwrap();
        let point = p256.public_key().as_ref();
        let set = json!({ "keys": [
            { "kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": BASE64.encode(ed25519.public_key()) },
            { "kty": "EC", "crv": "P-256", "kid": "ec", "x": BASE64.encode(&point[1..33]), "y": BASE64.encode(&point[33..]) },
        ] });
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), set.to_string()).unwrap();
        Self { ed25519, p256, file }
    }

    fn tokens(&self) -> UserTokens {
        UserTokens::new(rules(None, None), KeySource::File(self.file.path().to_owned())).unwrap().0
    }

    fn sign_ed25519(&self, message: &[u8]) -> Vec<u8> {
        self.ed25519.sign(message).as_ref().to_vec()
    }

    fn sign_p256(&self, message: &[u8]) -> Vec<u8> {
        self.p256.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec()
    }
}

#[test]
fn a_public_key_verifies_its_own_algorithm_alone() {
    let pairs = Pairs::new();
    let tokens = pairs.tokens();
    let claims = json!({ "sub": "7", "exp": in_s(60.0) });
    let ed25519 = |header| signed(header, claims.clone(), |message| pairs.sign_ed25519(message));
    let p256 = |header| signed(header, claims.clone(), |message| pairs.sign_p256(message));
    assert!(check(&tokens, &ed25519(json!({ "alg": "EdDSA", "kid": "ed" }))).is_ok());
    assert!(check(&tokens, &ed25519(json!({ "alg": "EdDSA" }))).is_ok(), "every key may be tried");
    assert!(check(&tokens, &p256(json!({ "alg": "ES256", "kid": "ec" }))).is_ok());
    assert_eq!(
        check(&tokens, &ed25519(json!({ "alg": "EdDSA", "kid": "new" }))).err(),
        Some(TokenError::UnknownKey("new".to_owned()))
    );
    for header in [json!({ "alg": "EdDSA", "kid": "ec" }), json!({ "alg": "ES256", "kid": "ed" })] {
        assert!(matches!(check(&tokens, &ed25519(header)), Err(TokenError::Algorithm { .. })));
    }
    // The public key as the secret of HS256.
    let public = pairs.ed25519.public_key().as_ref();
    for header in [json!({ "alg": "HS256" }), json!({ "alg": "HS256", "kid": "ed" })] {
        let confused = signed(header, claims.clone(), hmac(public));
        assert!(matches!(check(&tokens, &confused), Err(TokenError::Algorithm { .. })));
    }
}

#[test]
fn rs256_is_verified_with_the_modulus_and_exponent() {
    let key = include_bytes!("../../../../tests/fixtures/tls/rsa2048.pk8");
    let pair = RsaKeyPair::from_pkcs8(key).unwrap();
    let public: ring::rsa::PublicKeyComponents<Vec<u8>> = pair.public().into();
    let zeros = [&[0][..], &public.n].concat();
    let set = json!({ "keys": [{ "kty": "RSA", "n": BASE64.encode(zeros), "e": BASE64.encode(&public.e) }] });
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), set.to_string()).unwrap();
    let tokens = UserTokens::new(rules(None, None), KeySource::File(file.path().to_owned())).unwrap().0;
    let sign = |message: &[u8]| {
        let mut signature = vec![0; pair.public().modulus_len()];
        pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).unwrap();
        signature
    };
    let claims = json!({ "sub": "7", "exp": in_s(60.0) });
    let token = signed(json!({ "alg": "RS256", "kid": "any" }), claims.clone(), sign);
    assert!(check(&tokens, &token).is_ok(), "its key has no id");
    let forged = signed(json!({ "alg": "RS256" }), claims.clone(), |_| vec![1; 256]);
    assert_eq!(check(&tokens, &forged).err(), Some(TokenError::Signature));
    // The public key, in the forms that verifiers have confused with a secret.
    for secret in [&public.n[..], set.to_string().as_bytes()] {
        let confused = signed(json!({ "alg": "HS256" }), claims.clone(), hmac(secret));
        assert!(matches!(check(&tokens, &confused), Err(TokenError::Algorithm { .. })));
    }
}

#[test]
fn replaced_keys_invalidate_the_tokens_of_the_old_ones() {
    let (old, new) = (Pairs::new(), Pairs::new());
    let tokens = old.tokens();
    let header = json!({ "alg": "EdDSA", "kid": "ed" });
    let claims = json!({ "sub": "7", "exp": in_s(60.0) });
    let by_old = signed(header.clone(), claims.clone(), |message| old.sign_ed25519(message));
    let by_new = signed(header, claims, |message| new.sign_ed25519(message));
    assert!(check(&tokens, &by_old).is_ok() && check(&tokens, &by_new).is_err());
    let set = std::fs::read(new.file.path()).unwrap();
    tokens.replace_keys(Keys::of_set(&set, &Expected::default()).unwrap());
    assert!(check(&tokens, &by_old).is_err() && check(&tokens, &by_new).is_ok());
}

#[tokio::test]
async fn keys_stay_in_use_while_their_source_fails_but_not_when_it_has_none() {
    let pairs = Pairs::new();
    let (tokens, reloader) = UserTokens::new(rules(None, None), KeySource::File(pairs.file.path().to_owned())).unwrap();
    let mut reloader = reloader.unwrap();
    let claims = json!({ "sub": "7", "exp": in_s(60.0) });
    let token = signed(json!({ "alg": "EdDSA", "kid": "ed" }), claims, |message| pairs.sign_ed25519(message));
    let good = std::fs::read(pairs.file.path()).unwrap();
    for (text, loads, valid) in [
        (&good[..], true, true),
        (b"not a key set", false, true),
        (b"{\"keys\": []}", false, false),
        (&good, true, true),
    ] {
        std::fs::write(pairs.file.path(), text).unwrap();
        assert_eq!((reloader.load().await.is_ok(), check(&tokens, &token).is_ok()), (loads, valid));
    }
    std::fs::remove_file(pairs.file.path()).unwrap();
    assert!(reloader.load().await.is_err() && check(&tokens, &token).is_ok());
}

proptest! {
    #[test]
    fn any_text_is_refused(text in "\\PC{0,200}", dotted in "[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,40}") {
        let tokens = tokens(rules(None, None));
        prop_assert!(check(&tokens, &text).is_err());
        prop_assert!(check(&tokens, &dotted).is_err());
    }

    #[test]
    fn any_change_of_a_token_is_refused(at in any::<prop::sample::Index>(), character in "[A-Za-z0-9_.-]") {
        let good = hs256(json!({ "sub": "7", "exp": in_s(60.0) }));
        let mut changed = good.clone();
        let at = at.index(changed.len());
        changed.replace_range(at..=at, &character);
        // The last character of base64 has bits that are not used, which must be 0.
        prop_assume!(changed != good);
        prop_assert!(check(&tokens(rules(None, None)), &changed).is_err());
    }
}
