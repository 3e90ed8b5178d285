use proptest::prelude::*;
use serde_json::{Value, json};

use super::claims::{LEEWAY, judge};
use super::key_set::{KeySet, KeySetError};
use super::*;
use crate::access::grant::{Grant, Source};
use crate::access::role::Role;
use crate::access::signer::{RSA_N, Signer, encode};
use crate::model::Timestamp;

mod following;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const ALGORITHMS: [&str; 9] = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"];

fn settings() -> OidcSettings {
    OidcSettings {
        issuer: "https://id.example/ours".into(),
        audience: "schedule".into(),
        jwks_url: None,
        name_claim: "sub".into(),
        role_claim: "roles".into(),
        roles: parse_roles("viewers=read,ops=operate,admins=admin").unwrap(),
        prefixes_claim: None,
        pace: Pace::default(),
    }
}

/// Claims that open, with some of them changed; `null` takes one out.
fn claims(changes: Value) -> Value {
    let mut claims = json!({
        "iss": "https://id.example/ours", "aud": "schedule", "sub": "ann", "roles": ["ops"],
        "exp": NOW.secs() + 600, "iat": NOW.secs(),
    });
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    claims
}

fn set(keys: &[Value]) -> KeySet {
    KeySet::read(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
}

/// What claims allow, signed as they should be.
fn judged(settings: &OidcSettings, claims: &Value) -> Result<Grant, Unfit> {
    let signer = Signer::of("EdDSA");
    judge(signer.token("a", claims).as_bytes(), &set(&[signer.public("a")]), settings, NOW)
}

fn refused(changes: Value) -> TokenError {
    match judged(&settings(), &claims(changes)) {
        Err(Unfit::Wrong(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_token_of_each_algorithm_opens_by_the_key_that_it_names_and_by_no_other() {
    for algorithm in ALGORITHMS {
        let (signer, other) = (Signer::of(algorithm), Signer::of(if algorithm == "ES256" { "EdDSA" } else { "ES256" }));
        let keys = set(&[other.public("other"), signer.public("a")]);
        let judged = |token: &str| judge(token.as_bytes(), &keys, &settings(), NOW);

        let grant = judged(&signer.token("a", &claims(json!({})))).unwrap();

        assert_eq!((&*grant.name, grant.role, &grant.source), ("oidc:ann", Role::Operate, &Source::Token));
        assert!(grant.prefixes.are_all());
        assert_eq!(judged(&signer.token("b", &claims(json!({})))), Err(TokenError::UnknownKey.into()), "{algorithm}");
        assert_eq!(judged(&signer.token("other", &claims(json!({})))), Err(TokenError::OtherAlgorithm.into()));
        let token = signer.token("a", &claims(json!({})));
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let (head, body) = signed.split_once('.').unwrap();
        let more = encode(claims(json!({ "roles": ["admins"] })).to_string());
        assert_eq!(judged(&format!("{head}.{more}.{signature}")), Err(TokenError::Signature.into()), "{algorithm}");
        let cut = format!("{head}.{body}.{}", &signature[..signature.len() / 4 * 4 - 4]);
        assert_eq!(judged(&cut), Err(TokenError::Signature.into()), "{algorithm}");
    }
}

#[test]
fn the_examples_of_the_standards_are_signed_by_their_keys() {
    const CLAIMS: &str =
        "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    const RS256: &str = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
    const ES256: &str = "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    let rsa = json!({ "kty": "RSA", "n": RSA_N, "e": "AQAB" });
    let curve = json!({ "kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0" });
    // RFC 7515, appendices A.2 and A.3: their issuer is another one, which is looked at after the signature.
    for (head, signature) in [(r#"{"alg":"RS256"}"#, RS256), (r#"{"alg":"ES256"}"#, ES256)] {
        let token = format!("{}.{CLAIMS}.{signature}", encode(head));
        let judged = judge(token.as_bytes(), &set(&[rsa.clone(), curve.clone()]), &settings(), NOW);
        assert_eq!(judged, Err(TokenError::OtherIssuer.into()), "{head}");
    }
    // RFC 8037, appendix A.4: what is signed is no JSON.
    let edwards = json!({ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" });
    let token = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.\
        hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    let judged = judge(token.as_bytes(), &set(&[edwards]), &settings(), NOW);
    assert!(
        matches!(judged, Err(Unfit::Wrong(TokenError::Form(text))) if text.contains("no JSON object")),
        "{judged:?}"
    );
}

#[test]
fn what_is_not_signed_or_signed_with_what_everybody_knows_opens_nothing() {
    let signer = Signer::of("RS256");
    let keys = set(&[signer.public("a")]);
    let body = encode(claims(json!({})).to_string());
    let judged = |token: &str| judge(token.as_bytes(), &keys, &settings(), NOW);
    for algorithm in ["none", "None", "NONE", "nOnE"] {
        let head = encode(json!({ "alg": algorithm, "kid": "a" }).to_string());
        for signature in ["", "AAAA"] {
            let token = format!("{head}.{body}.{signature}");
            assert!(is_token(token.as_bytes()));
            assert_eq!(judged(&token), Err(TokenError::Algorithm.into()), "{algorithm}");
        }
    }
    // The key that is published, taken for a shared secret.
    for secret in [RSA_N.as_bytes(), signer.public("a").to_string().as_bytes()] {
        let signed = format!("{}.{body}", encode(r#"{"alg":"HS256","kid":"a"}"#));
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret);
        let token = format!("{signed}.{}", encode(ring::hmac::sign(&key, signed.as_bytes())));
        assert_eq!(judged(&token), Err(TokenError::Algorithm.into()));
    }
    // The token brings its own key.
    let (own, mine) = (Signer::of("ES256"), claims(json!({})).to_string());
    let head = json!({ "alg": "ES256", "kid": "a", "jwk": own.public("a"), "jku": "https://evil.example/keys" });
    assert_eq!(judged(&own.token_of(&head.to_string(), &mine)), Err(TokenError::OtherAlgorithm.into()));
    // A signature of nothing but zeros is one of ECDSA for every message, where nobody looks.
    let keys = set(&[own.public("a")]);
    let zeros = format!("{}.{body}.{}", encode(r#"{"alg":"ES256","kid":"a"}"#), encode([0; 64]));
    assert_eq!(judge(zeros.as_bytes(), &keys, &settings(), NOW), Err(TokenError::Signature.into()));
}

#[test]
fn a_token_that_names_no_key_is_looked_at_where_only_one_comes_into_question() {
    let (signer, curve) = (Signer::of("EdDSA"), Signer::of("ES256"));
    let token = signer.token_of(r#"{"alg":"EdDSA"}"#, &claims(json!({})).to_string());
    let judged = |keys: &[Value]| judge(token.as_bytes(), &set(keys), &settings(), NOW).map(|grant| grant.role);

    assert_eq!(judged(&[curve.public("a"), signer.public("b")]), Ok(Role::Operate));
    assert_eq!(judged(&[Signer::of("EdDSA").public("a"), signer.public("b")]), Err(TokenError::NoKeyNamed.into()));
    assert_eq!(judged(&[curve.public("a")]), Err(TokenError::OtherAlgorithm.into()));
    let mut only_for_another = signer.public("a");
    only_for_another["alg"] = "RS256".into();
    assert_eq!(
        KeySet::read(json!({ "keys": [only_for_another] }).to_string().as_bytes()),
        Err(KeySetError::NoneFits(1))
    );
}

#[test]
fn what_is_no_token_is_told_so_and_never_shown() {
    let signer = Signer::of("EdDSA");
    let keys = set(&[signer.public("a")]);
    let (head, good) = (r#"{"alg":"EdDSA","kid":"a"}"#, claims(json!({})).to_string());
    let twice = good.replacen('{', r#"{"roles":["admins"],"#, 1);
    let hidden = "a-text-of-the-token";
    let heads = [
        "",
        "[]",
        "null",
        "{",
        r#"{"alg":"EdDSA","alg":"EdDSA"}"#,
        r#"{"alg":1}"#,
        r#"{"kid":"a"}"#,
        r#"{"alg":"EdDSA","kid":7}"#,
        r#"{"alg":"EdDSA","kid":"a","crit":["b64"],"b64":false}"#,
        r#"{"alg":"EdDSA","typ":"logout+jwt"}"#,
        r#"{"alg":"EdDSA","typ":[]}"#,
        r#"{"alg":"EdDSA","kid":"a","\ud800":1}"#,
    ];
    let bodies = [&twice, "", "[]", "\u{feff}{}", &format!("{{\"sub\":{}1{}}}", "[".repeat(200), "]".repeat(200))];
    let mut tokens: Vec<String> = heads.iter().map(|head| signer.token_of(head, &good)).collect();
    tokens.extend(bodies.iter().map(|body| signer.token_of(head, body)));
    tokens.push(signer.token_of(head, &json!({ "x": "x".repeat(20_000) }).to_string()));
    tokens
        .extend(["", ".", "..", "a.b", "a.b.c.d", "a.b.", "é.b.c", "a=.b.c", "a b.c.d", "AB.AA.AA"].map(str::to_owned));
    let token = signer.token("a", &claims(json!({ "sub": hidden })));
    tokens.extend([format!("{token}="), format!("{token}."), format!(" {token}"), token.replacen('.', "..", 1)]);

    for token in &tokens {
        match judge(token.as_bytes(), &keys, &settings(), NOW) {
            Err(Unfit::Wrong(error @ TokenError::Form(_))) => {
                assert!(!error.to_string().contains(hidden) && error.to_string().len() < 150, "{error}");
            }
            other => panic!("{token}: {other:?}"),
        }
    }
    let mut not_utf_8 = br#"{"alg":"EdDSA","kid":""#.to_vec();
    not_utf_8.extend(b"\xff\xfe\"}");
    let token = format!("{}.{}.AAAA", encode(not_utf_8), encode("{}"));
    assert!(matches!(judge(token.as_bytes(), &keys, &settings(), NOW), Err(Unfit::Wrong(TokenError::Form(_)))));
    let long = signer.token(&"k".repeat(300), &claims(json!({})));
    assert_eq!(judge(long.as_bytes(), &keys, &settings(), NOW), Err(TokenError::UnknownKey.into()));
    // The same signature can be written in one way only: its last letter has bits that count for nothing.
    let token = format!("{}B", &token[..token.len() - 1]);
    assert!(matches!(judge(token.as_bytes(), &keys, &settings(), NOW), Err(Unfit::Wrong(TokenError::Form(_)))));
}

#[test]
fn a_token_counts_from_its_first_moment_to_its_last_give_or_take_the_leeway() {
    let (now, leeway) = (NOW.secs(), i64::try_from(LEEWAY.as_secs()).unwrap());
    let is_good = |changes: Value| judged(&settings(), &claims(changes)).is_ok();

    assert!(is_good(json!({ "exp": now - leeway + 1 })));
    assert_eq!(refused(json!({ "exp": now - leeway })), TokenError::Expired);
    assert!(is_good(json!({ "exp": (now - leeway) as f64 + 0.5 })));
    assert_eq!(refused(json!({ "exp": 0 })), TokenError::Expired);
    assert_eq!(refused(json!({ "exp": null })), TokenError::Endless);
    assert!(is_good(json!({ "nbf": now + leeway, "iat": now + leeway })));
    assert_eq!(refused(json!({ "nbf": now + leeway + 1 })), TokenError::NotYet);
    assert_eq!(refused(json!({ "iat": now + leeway + 1 })), TokenError::FromTheFuture);
    assert!(is_good(json!({ "iat": null })));
    for date in [json!("1800000600"), json!(-1), json!(1e300), json!([1_800_000_600_i64]), json!(true)] {
        for name in ["exp", "nbf", "iat"] {
            assert!(matches!(refused(json!({ name: date })), TokenError::Form(_)), "{name} {date}");
        }
    }
}

#[test]
fn a_token_is_of_this_issuer_and_for_this_service_letter_by_letter() {
    for issuer in [
        json!("https://id.example/ours/"),
        json!("https://ID.example/ours"),
        json!(["https://id.example/ours"]),
        Value::Null,
    ] {
        assert_eq!(refused(json!({ "iss": issuer })), TokenError::OtherIssuer, "{issuer}");
    }
    for audience in [
        json!("schedule2"),
        json!("Schedule"),
        json!([]),
        json!([["schedule"]]),
        json!(["schedule", 1]),
        json!(1),
        Value::Null,
    ] {
        assert_eq!(refused(json!({ "aud": audience })), TokenError::OtherAudience, "{audience}");
    }
    assert!(judged(&settings(), &claims(json!({ "aud": ["other", "schedule"] }))).is_ok());
}

fn unmapped(settings: &OidcSettings, changes: Value) -> String {
    match judged(settings, &claims(changes)) {
        Err(Unfit::Unmapped(text)) => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_highest_role_that_a_value_means_is_given_and_without_one_nothing_is() {
    let role = |roles: Value| judged(&settings(), &claims(json!({ "roles": roles }))).map(|grant| grant.role);

    assert_eq!(role(json!("viewers")), Ok(Role::Read));
    assert_eq!(role(json!(["viewers", "admins", "others"])), Ok(Role::Admin));
    for roles in [
        json!([]),
        json!(""),
        json!("admin"),
        json!("Admins"),
        json!("viewers admins"),
        json!(["viewers", 1]),
        json!({ "admins": true }),
        json!(true),
        Value::Null,
    ] {
        let text = unmapped(&settings(), json!({ "roles": roles }));
        assert!(text.contains("`roles`") && !text.contains("viewers"), "{text}");
    }
    let of_scope = OidcSettings { role_claim: "scope".into(), ..settings() };
    assert_eq!(judged(&of_scope, &claims(json!({ "scope": "openid viewers" }))).unwrap().role, Role::Read);
    let nested = OidcSettings { role_claim: "realm_access.roles".into(), ..settings() };
    assert_eq!(judged(&nested, &claims(json!({ "realm_access": { "roles": ["ops"] } }))).unwrap().role, Role::Operate);
    assert_eq!(judged(&nested, &claims(json!({ "realm_access.roles": "ops" }))).unwrap().role, Role::Operate);
    unmapped(&nested, json!({ "realm_access": ["roles"] }));
}

#[test]
fn a_name_is_one_visible_text_and_cannot_be_that_of_a_key_or_of_the_admin() {
    let name = |sub: &str| judged(&settings(), &claims(json!({ "sub": sub }))).unwrap().name.to_string();

    assert_eq!(name(" admin "), "oidc:admin");
    assert_eq!(name("Zoë"), "oidc:Zoë");
    assert_eq!(name(&"x".repeat(200)).len(), 205);
    for sub in [json!(""), json!(" "), json!("a\nb"), json!("a\u{0}"), json!("x".repeat(201)), json!(7), Value::Null] {
        assert!(unmapped(&settings(), json!({ "sub": sub })).contains("`sub`"), "{sub}");
    }
}

#[test]
fn prefixes_are_those_of_the_claim_and_without_it_there_is_no_task_at_all() {
    let with_prefixes = OidcSettings { prefixes_claim: Some("tasks".into()), ..settings() };
    let prefixes =
        |tasks: Value| judged(&with_prefixes, &claims(json!({ "tasks": tasks }))).unwrap().prefixes.to_texts();

    assert_eq!(prefixes(json!("team-a/")), ["team-a/"]);
    assert_eq!(prefixes(json!(["b", "a"])), ["a", "b"]);
    assert!(prefixes(json!("*")).is_empty(), "every task");
    for tasks in [json!([]), json!(""), json!(["a", ""]), json!(["a", 1]), json!({}), json!(vec!["a"; 21]), Value::Null]
    {
        assert!(unmapped(&with_prefixes, json!({ "tasks": tasks })).contains("`tasks`"), "{tasks}");
    }
}

#[test]
fn of_what_an_issuer_publishes_only_what_can_be_used_is_taken() {
    let good = Signer::of("ES256").public("a");
    let changed = |name: &str, value: Value| {
        let mut key = good.clone();
        key[name] = value;
        key
    };
    let small = json!({ "kty": "RSA", "kid": "a", "n": encode([255; 128]), "e": "AQAB" });
    let unusable = [
        changed("use", json!("enc")),
        changed("key_ops", json!(["encrypt"])),
        changed("alg", json!("ES384")),
        changed("alg", json!("HS256")),
        changed("kid", json!(1)),
        changed("kid", json!("k".repeat(257))),
        changed("x", json!("AAAA")),
        changed("crv", json!("P-521")),
        changed("x", Value::Null),
        small,
        json!({ "kty": "oct", "k": "AAAA" }),
        json!({}),
        json!(1),
        json!({ "kty": "RSA", "n": "AA", "e": "AQAB" }),
    ];
    let read = |keys: &[Value]| KeySet::read(json!({ "keys": keys }).to_string().as_bytes());

    let all = [&unusable[..], &[changed("key_ops", json!(["verify"]))]].concat();
    assert_eq!((read(&all).unwrap().count(), read(&all).unwrap().passed_over), (1, unusable.len()));
    for key in unusable {
        assert_eq!(read(std::slice::from_ref(&key)), Err(KeySetError::NoneFits(1)), "{key}");
    }
    assert_eq!(read(&[]), Err(KeySetError::NoneFits(0)));
    assert_eq!(read(&vec![good; 101]), Err(KeySetError::TooMany(101)));
    for text in ["", "[]", "{}", r#"{"keys":{}}"#, "\u{feff}{}"] {
        assert_eq!(KeySet::read(text.as_bytes()), Err(KeySetError::Form), "{text}");
    }
    let mut padded = Signer::of("RS256").public("a");
    padded["n"] = format!("AAAA{RSA_N}").into();
    let token = Signer::of("RS256").token("a", &claims(json!({})));
    assert!(
        judge(token.as_bytes(), &set(&[padded]), &settings(), NOW).is_ok(),
        "zeros before a number count for nothing"
    );
}

proptest! {
    #[test]
    fn no_text_makes_it_panic_and_none_opens(text in prop::collection::vec(any::<u8>(), 0..200), head in ".{0,60}", body in ".{0,60}") {
        let keys = set(&[json!({ "kty": "RSA", "n": RSA_N, "e": "AQAB" })]);
        let texts = [text.clone(), format!("{}.{}.{}", encode(&head), encode(&body), encode(&text)).into_bytes()];
        for text in texts {
            is_token(&text);
            prop_assert!(matches!(judge(&text, &keys, &settings(), NOW), Err(Unfit::Wrong(_))));
        }
        let _ = KeySet::read(head.as_bytes());
        let _ = parse_roles(&body);
    }

    #[test]
    fn whatever_an_issuer_says_nothing_panics(name in "(sub|aud|exp|nbf|iat|roles|tasks)", value in r#"(\[|\]|\{|\}|"|,|:|[0-9]{1,30}|e9|-|ops|null){0,9}"#) {
        let signer = Signer::of("RS256");
        let body = claims(json!({ name.as_str(): "MARK" })).to_string().replace("\"MARK\"", &value);
        let with_prefixes = OidcSettings { prefixes_claim: Some("tasks".into()), ..settings() };
        let token = signer.token_of(r#"{"alg":"RS256"}"#, &body);
        let _ = judge(token.as_bytes(), &set(&[signer.public("a")]), &with_prefixes, NOW);
    }
}
