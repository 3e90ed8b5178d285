use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;
use url::Url;

use super::*;

fn rules(allow: &str, deny: &str) -> TargetRules {
    let list = |text: &str| TargetRules::parse_list(text).unwrap_or_else(|mistakes| panic!("{mistakes:?}"));
    TargetRules { allow: list(allow), deny: list(deny), allow_only: false }
}

fn only(allow: &str) -> TargetRules {
    TargetRules { allow_only: true, ..rules(allow, "") }
}

fn to(url: &str) -> Destination {
    Destination::of(&Url::parse(url).unwrap()).unwrap()
}

/// Why a URL whose host has this address is refused; empty: it is not.
fn why(rules: &TargetRules, url: &str, address: &str) -> String {
    rules.judge(&to(url), address.parse().unwrap()).map_or_else(|refusal| refusal.to_string(), |()| String::new())
}

/// The same of a URL that holds its address itself.
fn why_literal(rules: &TargetRules, url: &str) -> String {
    let to = to(url);
    let address = to.literal().unwrap_or_else(|| panic!("{url} holds no address"));
    rules.judge(&to, address).map_or_else(|refusal| refusal.to_string(), |()| String::new())
}

#[test]
fn however_an_address_is_written_in_a_url_it_is_judged_as_the_same() {
    for url in [
        "http://127.0.0.1/",
        "http://127.0.0.1./",
        "http://127.1/",
        "http://2130706433/",
        "http://0177.0.0.1/",
        "http://017700000001/",
        "http://0x7f.0.0.1/",
        "HTTP://0X7F000001/",
        "http://127.0x0.0.01/",
        "http://%31%32%37.0.0.1/",
        "http://１２７.０.０.１/",
        "http://allowed.example@127.0.0.1/",
        "http://allowed.example:80@127.0.0.1:80/",
        "http://127.0.0.1#@allowed.example/",
        "http://127.0.0.1?@allowed.example/",
        "http://127.0.0.1\\@allowed.example/",
        "http:\\\\127.0.0.1",
        "http:127.0.0.1",
    ] {
        let expected = "127.0.0.1 is loopback ([targets] allow_targets opens it)";
        assert_eq!(why_literal(&TargetRules::default(), url), expected, "{url}");
        assert_eq!(why_literal(&rules("loopback", ""), url), "", "{url}");
    }
}

#[test]
fn an_address_of_ipv6_is_judged_by_the_one_that_it_carries() {
    for (url, expected) in [
        ("http://[::1]/", "::1 is loopback"),
        ("http://[::]/", ":: is unspecified"),
        ("http://0.0.0.0/", "0.0.0.0 is unspecified"),
        ("http://0/", "0.0.0.0 is unspecified"),
        ("http://[::ffff:127.0.0.1]/", "::ffff:127.0.0.1 carries 127.0.0.1, which is loopback"),
        ("http://[::FFFF:7f00:1]/", "::ffff:127.0.0.1 carries 127.0.0.1, which is loopback"),
        (
            "http://[64:ff9b::169.254.169.254]/",
            "64:ff9b::a9fe:a9fe carries 169.254.169.254, which is a metadata service",
        ),
        ("http://[2002:a00:1::]/", "2002:a00:1:: carries 10.0.0.1, which is private"),
        ("http://[2001:0:808:808::f5ff:fffe]/", "2001:0:808:808::f5ff:fffe carries 10.0.0.1, which is private"),
        ("http://[fd12::1]/", "fd12::1 is private"),
        ("http://[fe80::1]/", "fe80::1 is link-local"),
    ] {
        assert_eq!(why_literal(&TargetRules::default(), url), format!("{expected} ([targets] allow_targets opens it)"));
    }
    for url in
        ["http://[2606:4700::1111]/", "http://[::ffff:1.1.1.1]/", "http://[64:ff9b::1.1.1.1]/", "http://1.1.1.1/"]
    {
        assert_eq!(why_literal(&TargetRules::default(), url), "");
    }
    // A name with a zone, and no name at all, are no URLs.
    for url in [
        "http://[fe80::1%25eth0]/",
        "http://[fe80::1%eth0]/",
        "http://",
        "http://:80/",
        "http://@/",
        "http://1.2.3.256/",
    ] {
        assert!(Url::parse(url).is_err(), "{url}");
    }
}

#[test]
fn a_rule_names_a_host_an_address_a_network_or_a_group_with_its_ports_and_its_scheme() {
    for (allow, url, address, is_open) in [
        ("hooks.example", "http://hooks.example/", "10.0.0.1", true),
        ("Hooks.Example.", "http://HOOKS.example./", "127.0.0.1", true),
        ("hooks.example", "http://a.hooks.example/", "10.0.0.1", false),
        ("*.example", "http://a.b.example/", "10.0.0.1", true),
        ("*.example", "http://example/", "10.0.0.1", false),
        ("*.example", "http://notexample/", "10.0.0.1", false),
        ("bücher.example", "http://xn--bcher-kva.example/", "10.0.0.1", true),
        ("hooks.example:8000-8999", "http://hooks.example:8500/", "10.0.0.1", true),
        ("hooks.example:8000-8999", "http://hooks.example:9000/", "10.0.0.1", false),
        ("hooks.example:443", "https://hooks.example/", "10.0.0.1", true),
        ("https://hooks.example", "http://hooks.example/", "10.0.0.1", false),
        ("https://hooks.example", "https://hooks.example/", "10.0.0.1", true),
        ("10.0.0.0/8", "http://any.example/", "10.255.0.1", true),
        ("10.0.0.0/8", "http://any.example/", "192.168.0.1", false),
        ("http://10.0.0.0/8:80", "http://any.example/", "10.0.0.1", true),
        ("http://10.0.0.0/8:80", "http://any.example:81/", "10.0.0.1", false),
        ("[fd00::]/8:443", "https://any.example/", "fd00::1", true),
        ("fd00::/8", "https://any.example/", "fd00::1", true),
        ("[fd00::/8]:443", "http://any.example/", "fd00::1", false),
        ("fd00::1", "http://[fd00::1]/", "fd00::1", true),
        ("[fd00::1]:80", "http://[fd00::1]/", "fd00::1", true),
        ("::ffff:10.0.0.0/104", "http://any.example/", "10.0.0.1", true),
        ("10.0.0.1", "http://[::ffff:a00:1]/", "::ffff:10.0.0.1", true),
        ("private", "http://any.example/", "100.64.0.1", true),
        ("private", "http://any.example/", "64:ff9b::10.0.0.1", true),
        ("private", "http://any.example/", "127.0.0.1", false),
        ("loopback:80", "http://localhost/", "::1", true),
        ("link_local", "http://any.example/", "169.254.0.1", true),
        // What a machine may do in a cloud stands there.
        ("link_local", "http://any.example/", "169.254.169.254", false),
        ("private", "http://any.example/", "fd00:ec2::254", false),
        ("169.254.169.254", "http://any.example/", "169.254.169.254", true),
        ("all", "http://any.example/", "169.254.169.254", true),
        // It carries what is not named.
        ("2000::/3", "http://any.example/", "2002:7f00:1::", false),
        ("loopback", "http://any.example/", "2001:0:a00:1::80ff:fffe", false),
        ("loopback, private", "http://any.example/", "2001:0:a00:1::80ff:fffe", true),
    ] {
        assert_eq!(why(&rules(allow, ""), url, address).is_empty(), is_open, "{allow} {url} {address}");
        // The same rule the other way round: it closes what it opens.
        assert!(!is_open || !why(&rules("all", allow), url, address).is_empty(), "{allow} {url} {address}");
    }
}

#[test]
fn what_is_denied_stays_closed_whatever_opens_it_and_the_refusal_names_the_rule() {
    let both = rules("all, bad.example", "bad.example, 10.0.0.0/8, link_local");

    assert_eq!(
        why(&both, "http://bad.example/", "1.2.3.4"),
        "bad.example is 1.2.3.4, which is denied by the rule `bad.example` of [targets] deny_targets"
    );
    assert_eq!(
        why(&both, "http://x.example/", "64:ff9b::10.1.2.3"),
        "x.example is 64:ff9b::a01:203, which is denied by the rule `10.0.0.0/8` of [targets] deny_targets"
    );
    assert_eq!(
        why_literal(&both, "http://169.254.169.254/"),
        "169.254.169.254 is denied by the rule `link_local` of [targets] deny_targets"
    );
    assert_eq!(why(&both, "http://x.example/", "127.0.0.1"), "");
}

#[test]
fn with_allow_only_nothing_goes_where_no_rule_says_so() {
    let only = only("hooks.example, 1.2.3.0/24, https://all:443");

    assert_eq!(why(&only, "http://hooks.example/", "9.9.9.9"), "");
    assert_eq!(why(&only, "http://x.example/", "1.2.3.4"), "");
    assert_eq!(why(&only, "https://x.example/", "9.9.9.9"), "");
    assert_eq!(
        why(&only, "http://x.example/", "9.9.9.9"),
        "x.example is 9.9.9.9, which is named by no rule of [targets] allow_targets, and allow_only is set"
    );
}

#[test]
fn what_is_certain_from_the_name_alone_is_said_before_anybody_is_asked_for_its_address() {
    let said = |rules: &TargetRules, url: &str| {
        rules.judge_host(&to(url)).map_or_else(|refusal| refusal.to_string(), |()| String::new())
    };
    let public = TargetRules::default();

    for url in ["http://localhost/", "http://LOCALHOST./", "http://a.b.localhost:81/"] {
        assert!(
            said(&public, url).ends_with(" is 127.0.0.1, which is loopback ([targets] allow_targets opens it)"),
            "{url}"
        );
        assert_eq!(said(&rules("loopback", ""), url), "");
    }
    assert_eq!(said(&public, "http://x.example/"), "");
    assert_eq!(said(&public, "http://localhost.example/"), "");
    assert_eq!(
        said(&rules("", "*.example"), "http://x.example/"),
        "x.example is denied by the rule `*.example` of [targets] deny_targets"
    );
    assert_eq!(said(&only("1.2.3.4"), "http://x.example/"), "");
    assert_eq!(
        said(&only("1.2.3.4:81, y.example"), "http://x.example/"),
        "x.example is named by no rule of [targets] allow_targets, and allow_only is set"
    );
}

#[test]
fn each_mistake_in_a_list_is_told_with_its_place_and_what_was_expected() {
    let list = "ok.example, 10.0.0.1/8, ftp://x, x:99999, x:9-8, 0x7f.1, privat, link-local, a.*.b, , [::1, x y, x:";

    let mistakes = TargetRules::parse_list(list).unwrap_err();

    let told: Vec<(usize, &str)> = mistakes.iter().map(|mistake| (mistake.position, &*mistake.given)).collect();
    let expected = [
        (2, "10.0.0.1/8"),
        (3, "ftp://x"),
        (4, "x:99999"),
        (5, "x:9-8"),
        (6, "0x7f.1"),
        (7, "privat"),
        (8, "link-local"),
        (9, "a.*.b"),
        (10, ""),
        (11, "[::1"),
        (12, "x y"),
        (13, "x:"),
    ];
    assert_eq!(told, expected);
    let text = |position: usize| mistakes.iter().find(|it| it.position == position).unwrap().to_string();
    assert_eq!(text(2), "is `10.0.0.1/8`, expected `10.0.0.0/8`, whose further bits are zero, or the address alone");
    assert_eq!(text(3), "is `ftp://x`, expected http:// or https:// before a host, an address or a CIDR");
    assert_eq!(text(6), "is `0x7f.1`, expected `127.0.0.1`, if that address is meant");
    assert_eq!(text(7), "is `privat`, expected `private`; a host of that name is written `privat.`");
    assert!(TargetRules::parse_list("privat., ").is_err() && TargetRules::parse_list("privat.").is_ok());
    assert_eq!(TargetRules::parse_list(" ").unwrap().len(), 0);
    let many = vec!["a"; TargetRules::RULES_MAX + 1].join(",");
    assert_eq!(TargetRules::parse_list(&many).unwrap_err()[0].to_string(), "is `a`, expected at most 1000 rules");
}

fn any_address() -> impl Strategy<Value = IpAddr> {
    let v4 = any::<u32>().prop_map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits)));
    let v6 = any::<u128>().prop_map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits)));
    let special = prop::sample::select(vec![
        "127.0.0.1",
        "10.1.1.1",
        "169.254.169.254",
        "::1",
        "::ffff:10.0.0.1",
        "fd00:ec2::254",
        "64:ff9b::1.1.1.1",
        "2002:7f00:1::",
        "fe80::1",
        "0.0.0.0",
        "255.255.255.255",
        "100.64.1.1",
    ]);
    prop_oneof![v4, v6, special.prop_map(|text| text.parse().unwrap())]
}

fn any_rules() -> impl Strategy<Value = String> {
    let rule = prop::sample::select(vec![
        "private",
        "loopback",
        "link_local",
        "all:80",
        "10.0.0.0/8",
        "0.0.0.0/0",
        "::/0",
        "fd00::/8",
        "h.example",
        "*.example",
        "https://all",
        "[2002::]/16",
        "127.0.0.1",
    ]);
    prop::collection::vec(rule, 0..4).prop_map(|rules| rules.join(","))
}

proptest! {
    #[test]
    fn without_rules_only_what_is_public_and_carries_nothing_else_is_reached(address in any_address()) {
        let is_open = TargetRules::default().judge(&to("http://h.example/"), address).is_ok();

        let mut faces: Vec<IpAddr> = address::carried(address).collect();
        if faces.is_empty() {
            faces.push(address);
        }
        prop_assert_eq!(is_open, faces.iter().all(|&face| AddressClass::of(face).is_none()));
    }

    #[test]
    fn no_rule_that_allows_opens_what_another_one_denies(
        allow in any_rules(), deny in any_rules(), address in any_address(), allow_only in any::<bool>()
    ) {
        let to = to("http://h.example/");
        let (all, denying) = (rules("all", &deny), TargetRules { allow_only, ..rules(&allow, &deny) });

        if all.judge(&to, address).is_err() {
            prop_assert!(denying.judge(&to, address).is_err());
        } else {
            let alone = TargetRules { allow_only, ..rules(&allow, "") };
            prop_assert_eq!(denying.judge(&to, address), alone.judge(&to, address));
        }
        // A whitelist opens nothing that the same list does not open without it.
        let listed = TargetRules { allow_only: true, ..denying.clone() };
        prop_assert!(listed.judge(&to, address).is_err() || denying.judge(&to, address).is_ok());
        // What is refused from the name alone is refused with any address.
        prop_assert!(denying.judge_host(&to).is_ok() || denying.judge(&to, address).is_err());
    }

    #[test]
    fn an_address_is_judged_alike_in_every_form(bits in any::<u32>(), allow in any_rules(), deny in any_rules()) {
        let (rules, to, plain) = (rules(&allow, &deny), to("http://h.example/"), Ipv4Addr::from_bits(bits));
        let is_open = |address: IpAddr| rules.judge(&to, address).is_ok();

        let mapped = IpAddr::V6(plain.to_ipv6_mapped());
        // A rule for all of IPv6 may close it in that form, and opens nothing.
        prop_assert!(!is_open(mapped) || is_open(plain.into()));
        if !deny.contains("::/0") {
            prop_assert_eq!(is_open(mapped), is_open(plain.into()));
        }
    }

    #[test]
    fn no_text_makes_the_reader_of_rules_panic(text in "\\PC{0,40}", odd in "[a-z0-9.:/*,\\[\\]@%-]{0,30}") {
        for text in [text, odd] {
            if let Ok(rules) = TargetRules::parse_list(&text) {
                let again: Vec<&str> = rules.iter().map(Rule::as_str).collect();
                prop_assert_eq!(TargetRules::parse_list(&again.join(",")).unwrap(), rules.clone());
            }
        }
    }
}
