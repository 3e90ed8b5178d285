//! What single sections hold.

use super::*;
use crate::access::Role;

#[test]
fn nodes_share_a_key_that_is_never_shown_and_a_time_to_live() {
    let read = |text: &str| load_text(&format!("[cluster]\n{text}\n"), &[]);

    let sharing = read("advertise_url = http://10.0.0.7:3000/\nkey = 0123456789abcdef\nttl = 1500ms").unwrap().sharing;
    assert_eq!(sharing.advertise_url.as_ref().unwrap().as_str(), "http://10.0.0.7:3000/");
    assert_eq!((sharing.key.as_deref(), sharing.ttl.as_millis()), (Some("0123456789abcdef"), 1_500));
    assert!(!format!("{sharing:?}").contains("0123456789abcdef"));

    for (wrong, expected) in [
        ("advertise_url = 10.0.0.7", "expected a URL such as http://10.0.0.7:3000, without user and password"),
        ("advertise_url = http://u:p@a/", "expected a URL such as http://10.0.0.7:3000, without user and password"),
        ("key = short", "is set, expected 16 to 1024 letters, digits or signs of ASCII, without blanks"),
        ("ttl = 3", "expected a duration such as 3s or 1500ms, from 500ms to 60s"),
        ("ttl = 100ms", "expected a duration such as 3s or 1500ms, from 500ms to 60s"),
    ] {
        let mistakes = read(wrong).unwrap_err().mistakes;
        assert!(mistakes[0].ends_with(expected), "{mistakes:?}");
    }
}

#[test]
fn tls_is_spoken_with_a_certificate_and_its_key_and_not_without_one_of_them() {
    let read = |text: &str| load_text(&format!("[tls]\n{text}\n"), &[]);

    let tls =
        read("cert_file = c.pem\nkey_file = k.pem\nclient_ca_file = a.pem\nclient_cert = optional\nmin_version = 1.3");
    let tls = tls.unwrap().api.tls.unwrap();
    assert_eq!((tls.cert_file.to_str(), tls.key_file.to_str()), (Some("c.pem"), Some("k.pem")));
    assert_eq!(tls.client_ca_file.as_deref(), Some(Path::new("a.pem")));
    assert_eq!((tls.client_certificate, tls.version_min), (ClientCertificate::Optional, TlsVersion::V1_3));
    assert_eq!(read("").unwrap().api.tls, None);

    for (wrong, expected) in [
        ("cert_file = c.pem", "[tls] key_file is empty, expected the file of the key that belongs to cert_file"),
        ("key_file = k.pem", "[tls] cert_file is empty, expected the file of the certificate that belongs to key_file"),
        (
            "client_ca_file = a.pem",
            "[tls] client_ca_file is `a.pem`, expected nothing while cert_file is empty: without TLS nobody shows a certificate",
        ),
        ("min_version = 1.1", "[tls] min_version is `1.1`, expected one of 1.2, 1.3"),
        (
            "cert_file = c.pem\nkey_file = k.pem\nclient_ca_file = a.pem\n[cluster]\nkey = 0123456789abcdef",
            "[tls] client_cert is `required`, expected optional while [cluster] key is set: other nodes show that key, and no certificate",
        ),
    ] {
        let mistakes = read(wrong).unwrap_err().mistakes;
        assert!(mistakes.len() == 1 && mistakes[0].ends_with(expected), "{mistakes:?}");
    }
}

#[test]
fn variables_are_secrets_by_their_names_and_are_never_shown() {
    let given = [("SCHEDULE_SECRET_db-password", "hunter2"), ("SCHEDULE_SECRET_API_KEY", " é "), ("SCHEDULE_X", "x")];

    let settings = load_text("", &given).unwrap();

    let secrets: Vec<(&str, &str)> =
        settings.secrets.environment.iter().map(|(name, text)| (name.as_str(), text.expose())).collect();
    assert_eq!(secrets, [("API_KEY", " é "), ("db-password", "hunter2")]);
    assert!(!format!("{settings:?}").contains("hunter2"));
    let found = mistakes("", &[("SCHEDULE_SECRET_a b", "hunter2"), ("SCHEDULE_SECRET_X", "")]);
    assert!(found[0].starts_with("environment variable SCHEDULE_SECRET_X: is 0 bytes long, expected 1"), "{found:?}");
    assert!(found[1].starts_with("environment variable SCHEDULE_SECRET_a b: names no secret"), "{found:?}");
    assert!(!found.concat().contains("hunter2"));
}

#[test]
fn headers_are_masked_or_shown_by_their_names() {
    use crate::model::{Header, Masking};
    let read = |text: &str| load_text(&format!("[secrets]\n{text}\n"), &[]).map(|settings| settings.journal.masking);

    let masking = read("mask_headers = X-Customer, x-b\nshow_headers = X-Public-Key").unwrap();
    let shown = |masking: &Masking, name: &str| masking.shown(&Header::parse(name, "v").unwrap()).to_owned();
    assert_eq!(
        ["X-customer", "X-B", "x-public-key", "X-Key"].map(|name| shown(&masking, name)),
        ["***", "***", "v", "***"]
    );
    for (wrong, expected) in [
        ("mask_headers = a b", "expected names of headers such as X-Customer, separated by commas"),
        ("mask_headers = A\nshow_headers = a", "expected names that mask_headers does not hold, too, such as a"),
        ("core_dumps = yes", "expected one of true, false"),
    ] {
        let mistakes = read(wrong).unwrap_err().mistakes;
        assert!(mistakes[0].ends_with(expected), "{mistakes:?}");
    }
}

#[test]
fn an_issuer_of_tokens_is_read_with_what_its_claims_mean() {
    let text = "[access]\noidc_issuer = https://id.example/realms/ours\noidc_audience = schedule\noidc_roles = ops=operate, cn=x=admin\n\
        oidc_role_claim = realm_access.roles\noidc_prefixes_claim = tasks\noidc_ca_file = ca.pem\n";

    let settings = load_text(text, &[("SCHEDULE__ACCESS__OIDC_JWKS_URL", "http://127.0.0.1:8080/keys")]).unwrap();

    let oidc = settings.access.oidc.unwrap();
    assert_eq!((&*oidc.issuer, &*oidc.audience), ("https://id.example/realms/ours", "schedule"));
    assert_eq!((&*oidc.name_claim, &*oidc.role_claim), ("sub", "realm_access.roles"));
    assert_eq!(*oidc.roles, [("ops".into(), Role::Operate), ("cn=x".into(), Role::Admin)]);
    assert_eq!(oidc.prefixes_claim.as_deref(), Some("tasks"));
    assert_eq!(oidc.jwks_url.unwrap().as_str(), "http://127.0.0.1:8080/keys");
    assert_eq!(settings.oidc_ca_file.unwrap().as_os_str(), "ca.pem");
    assert_eq!(NodeSettings::default().access.oidc, None);
}

#[test]
fn every_mistake_about_tokens_and_certificates_is_told_at_once() {
    let text = "[access]\nadmin_key = aaaaaaaaaaa.bbbbbbbbbbb.cccccccccccc\noidc_issuer = http://id.example\noidc_jwks_url = ftp://x\n\
        oidc_roles = ops\ncertificate_roles = cn:a=read, ann=write\n";
    let ends = [
        "[access] admin_key is set, expected no three parts with dots between them while oidc_issuer is set: it would be taken for a token",
        "[access] oidc_issuer is `http://id.example`, expected a URL with https, or http on a loopback address, such as \
         https://id.example.com/realms/ours",
        "[access] oidc_audience is empty, expected what the issuer writes into tokens that are for this service",
        "[access] oidc_jwks_url is `ftp://x`, expected a URL with https, or http on a loopback address, without a password",
        "[access] oidc_roles: rule 1 is `ops`, expected a value of the claim, `=`, and one of read, operate, write, admin",
        "[access] certificate_roles: rule 2 is `ann=write`, expected cn:, dns:, uri: or email: and a name, then `=` and one of read, \
         operate, write, admin, then perhaps `:` and prefixes with `|` between them",
    ];

    let found = mistakes(text, &[]);

    assert_eq!(found.len(), ends.len(), "{found:#?}");
    for (mistake, end) in found.iter().zip(ends) {
        assert!(mistake.ends_with(end), "{mistake}\n{end}");
    }
    let lonely = mistakes("[access]\noidc_audience = a\noidc_roles = a=read\ncertificate_roles = cn:ann=read\n", &[]);
    let ends = ["expected nothing while oidc_issuer is empty: no token is taken then"; 2];
    assert!(lonely.iter().zip(ends).all(|(mistake, end)| mistake.ends_with(end)), "{lonely:#?}");
    assert!(
        lonely[2]
            .ends_with("expected nothing while [tls] client_ca_file is empty: nobody is asked for a certificate then")
    );
    let no_roles = mistakes("[access]\noidc_issuer = https://id.example\noidc_audience = a\n", &[]);
    assert!(no_roles[0].contains("[access] oidc_roles is empty, expected values of the claim"), "{no_roles:?}");
}

#[test]
fn each_limit_reaches_its_room_and_holds_its_bounds() {
    let read = |text: &str| load_text(&format!("[limits]\n{text}\n"), &[]);

    let all = "entries_max = 1\nlists_max = 2\ninterval_min_s = 86400\ntemplate_header_bytes_max = 0\n\
               template_body_bytes_max = 5\nrequests_per_key_per_second = 1000000\ntasks_per_key_max = 1000000000";
    let settings = read(all).unwrap();
    let (puts, growth, access) = (settings.api.put_limits, settings.dispatch.growth, settings.access);
    assert_eq!((puts.entries_max, puts.lists_max, puts.interval_min.as_secs()), (1, 2, 86_400));
    assert_eq!((growth.header_bytes_max, growth.body_bytes_max), (0, 5));
    assert_eq!((access.requests_per_key_per_second, access.tasks_per_key_max), (1_000_000, 1_000_000_000));

    for (wrong, expected) in [
        ("entries_max = 0", "from 1 to 10000"),
        ("entries_max = 10001", "from 1 to 10000"),
        ("lists_max = 10001", "from 1 to 10000"),
        ("interval_min_s = 0", "from 1 to 86400"),
        ("interval_min_s = 86401", "from 1 to 86400"),
        ("template_header_bytes_max = 1048577", "from 0 to 1048576"),
        ("template_body_bytes_max = 268435457", "from 0 to 268435456"),
        ("requests_per_key_per_second = 1000001", "from 0 to 1000000"),
        ("tasks_per_key_max = 1000000001", "from 0 to 1000000000"),
    ] {
        let mistakes = read(wrong).unwrap_err().mistakes;
        assert!(mistakes.len() == 1 && mistakes[0].ends_with(expected), "{mistakes:?}");
    }
}
