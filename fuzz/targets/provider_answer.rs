//! Answers of token endpoints, and of those that revoke and introspect tokens.
//!
//! Invariant: tokens and times are within their limits, and a status of 500 or more ends a grant only if the operator's
//! configuration says so. Only a success confirms a revocation, and the expiry of a token is within ten years.

#![no_main]

use libfuzzer_sys::fuzz_target;
use provider::{
    Answer, AnswerRules, ClientAuth, Endpoints, ErrorWords, RefusalClass, Registration, Revocation,
    TimeUnit,
};

fuzz_target!(|bytes: &[u8]| {
    let endpoints = Endpoints::of_token("https://login.example/token");
    let standard = Registration::new(endpoints, "id", ClientAuth::Basic);
    let peculiar = Registration {
        answer: AnswerRules {
            access_token: "authed_user.access_token".to_owned(),
            expires_in_unit: TimeUnit::Milliseconds,
            ..AnswerRules::default()
        },
        errors: ErrorWords {
            busy: vec!["Access Denied".to_owned()],
            ok_field: Some("ok".to_owned()),
            ..ErrorWords::default()
        },
        ..standard.clone()
    };
    let text = str::from_utf8(bytes).ok();
    for registration in [standard, peculiar] {
        for status in [200, 400, 503] {
            let answer = Answer {
                status,
                content_type: None,
                retry_after: text,
                body: bytes,
                received: 784_111_777,
            };
            match registration.read_tokens(&answer) {
                Ok(tokens) => {
                    for token in [Some(&tokens.access_token), tokens.refresh_token.as_ref()] {
                        let token = token.map_or("-", model::SecretText::expose);
                        assert!((1..=64 << 10).contains(&token.len()) && !token.contains('\0'));
                    }
                    for life in [tokens.expires_in, tokens.refresh_expires_in] {
                        assert!(life.is_none_or(|life| (0..=315_360_000).contains(&life)));
                    }
                }
                Err(refusal) => {
                    assert!(refusal.retry_after.is_none_or(|pause| (1..=3600).contains(&pause)));
                    assert!(status < 500 || refusal.class != RefusalClass::Dead);
                }
            }
            let is_confirmed = registration.read_revocation(&answer) == Ok(Revocation::Confirmed);
            assert!(status == 200 || !is_confirmed);
            if let Ok(introspected) = registration.read_introspection(&answer) {
                let far = |end: i64| (end - answer.received).abs() > 315_360_000;
                assert!(!introspected.expires.is_some_and(far));
                assert!(status == 200);
            }
        }
    }
});
