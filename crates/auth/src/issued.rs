//! Tickets, sessions and access tokens, as their bearer presents them.
//!
//! Invariant: the secret has at least 128 random bits, and the database stores only its digest. A leaked database holds
//! no working credential.

use aws_lc_rs::{constant_time, digest, hmac};
use base64::{
    Engine as _, engine::general_purpose::STANDARD, engine::general_purpose::URL_SAFE_NO_PAD,
};
use model::{
    CredentialId, CredentialKind, IssuedCredential, SecretDigest, SecretText, TenantId, User,
};
use zeroize::Zeroizing;

use crate::{
    AuthError, Lifetime,
    random::{hexadecimal, random},
};

const TICKET_PREFIX: &str = "7T:";
const ACCESS_TOKEN_PREFIX: &str = "8A:";

/// A credential as its bearer presents it.
#[derive(Clone, Debug)]
pub struct Presented {
    kind: CredentialKind,
    id: CredentialId,
    secret: SecretText,
    tenant: Option<TenantId>,
}

impl Presented {
    /// Generates a credential that names `tenant`.
    pub fn generate(kind: CredentialKind, tenant: Option<TenantId>) -> Self {
        let id =
            CredentialId::parse(&hexadecimal(&*random::<16>())).expect("16 bytes are 32 digits");
        let secret = match kind {
            CredentialKind::Ticket => u128::from_be_bytes(*random()).to_string(),
            CredentialKind::Session | CredentialKind::AccessToken => hexadecimal(&*random::<16>()),
        };
        Self { kind, id, secret: secret.into(), tenant }
    }

    /// Reads a ticket: `7T:` and base64 of UTF-16LE `guid;number;tenant`.
    ///
    /// # Errors
    /// `InvalidTicket`: the ticket is malformed.
    pub fn parse_ticket(raw: &str) -> Result<Self, AuthError> {
        Self::ticket(raw).ok_or(AuthError::InvalidTicket)
    }

    fn ticket(raw: &str) -> Option<Self> {
        let bytes = Zeroizing::new(STANDARD.decode(raw.strip_prefix(TICKET_PREFIX)?).ok()?);
        let (units, rest) = bytes.as_chunks::<2>();
        if !rest.is_empty() {
            return None;
        }
        let units: Vec<u16> = units.iter().map(|unit| u16::from_le_bytes(*unit)).collect();
        let text = Zeroizing::new(String::from_utf16(&units).ok()?);
        let mut parts = text.split(';');
        let (guid, number) = (parts.next()?, parts.next()?);
        let tenant = parts.next().filter(|tenant| !tenant.is_empty()).map(TenantId::parse);
        let is_number =
            (1..=39).contains(&number.len()) && number.bytes().all(|digit| digit.is_ascii_digit());
        if !is_number || parts.next().is_some() {
            return None;
        }
        Some(Self {
            kind: CredentialKind::Ticket,
            id: CredentialId::parse(guid).ok()?,
            secret: number.into(),
            tenant: tenant.transpose().ok()?,
        })
    }

    /// Reads an access token, `8A:{tenant}.{id and secret}`. `None` for another kind of token.
    ///
    /// # Errors
    /// `InvalidToken`: the token is malformed.
    pub fn parse_access_token(raw: &str) -> Option<Result<Self, AuthError>> {
        let rest = raw.strip_prefix(ACCESS_TOKEN_PREFIX)?;
        let parsed = rest.split_once('.').and_then(|(tenant, secret)| {
            let tenant = TenantId::parse(tenant).ok()?;
            Self::id_and_secret(CredentialKind::AccessToken, secret, Some(tenant))
        });
        Some(parsed.ok_or(AuthError::InvalidToken))
    }

    /// Reads the value of a session cookie.
    ///
    /// # Errors
    /// `InvalidSession`: the value is malformed.
    pub fn parse_session(raw: &str) -> Result<Self, AuthError> {
        Self::id_and_secret(CredentialKind::Session, raw, None).ok_or(AuthError::InvalidSession)
    }

    fn id_and_secret(kind: CredentialKind, raw: &str, tenant: Option<TenantId>) -> Option<Self> {
        let (id, secret) = raw.split_at_checked(32)?;
        let is_hexadecimal = secret.len() == 32 && secret.bytes().all(|b| b.is_ascii_hexdigit());
        let id = CredentialId::parse(id).ok()?;
        is_hexadecimal.then(|| Self { kind, id, secret: secret.into(), tenant })
    }

    /// An access token.
    pub(crate) fn access_token(id: CredentialId, secret: SecretText, tenant: TenantId) -> Self {
        Self { kind: CredentialKind::AccessToken, id, secret, tenant: Some(tenant) }
    }

    /// The secret part.
    pub(crate) fn secret(&self) -> &SecretText {
        &self.secret
    }

    /// The id, by which the database finds it.
    pub fn id(&self) -> &CredentialId {
        &self.id
    }

    /// The tenant in it.
    pub fn tenant(&self) -> Option<&TenantId> {
        self.tenant.as_ref()
    }

    /// The kind of credential.
    pub fn kind(&self) -> CredentialKind {
        self.kind
    }

    /// The text for the bearer.
    pub fn text(&self) -> SecretText {
        let (id, secret) = (self.id.as_str(), self.secret.expose());
        let tenant = self.tenant.as_ref().map(TenantId::name);
        match self.kind {
            CredentialKind::Ticket => {
                let tenant = tenant.map(|tenant| format!(";{tenant}")).unwrap_or_default();
                let text = Zeroizing::new(format!("{id};{secret}{tenant}"));
                let bytes: Zeroizing<Vec<u8>> =
                    Zeroizing::new(text.encode_utf16().flat_map(u16::to_le_bytes).collect());
                format!("{TICKET_PREFIX}{}", STANDARD.encode(&*bytes)).into()
            }
            CredentialKind::AccessToken => {
                format!("{ACCESS_TOKEN_PREFIX}{}.{id}{secret}", tenant.unwrap_or_default()).into()
            }
            CredentialKind::Session => format!("{id}{secret}").into(),
        }
    }

    /// The row for the database.
    pub fn issue(&self, user: &User, lifetime: Lifetime, now: i64) -> IssuedCredential {
        IssuedCredential {
            kind: self.kind,
            id: self.id.clone(),
            digest: self.digest(),
            tenant: user.tenant.clone(),
            login: user.login.clone(),
            user_version: user.version,
            created: now,
            expires: lifetime.expiry(now, now),
            parent: None,
            application: None,
        }
    }

    /// Checks the credential against the row with its id. It must have the right secret and be neither expired nor
    /// revoked, and its user must be unchanged since. Without a row the same work is done.
    ///
    /// # Errors
    /// `InvalidTicket`, `InvalidSession` or `InvalidToken`, by the kind. The reason is not given.
    pub fn check<'a>(
        &self,
        found: Option<(&'a IssuedCredential, &'a User)>,
        now: i64,
    ) -> Result<(&'a IssuedCredential, &'a User), AuthError> {
        let nothing = SecretDigest::new(vec![0; 32]);
        let expected = found.map_or(&nothing, |(issued, _)| &issued.digest);
        let digest = self.digest();
        let is_right =
            constant_time::verify_slices_are_equal(expected.as_bytes(), digest.as_bytes()).is_ok();
        let lives = found.is_some_and(|(issued, user)| {
            issued.kind == self.kind
                && now < issued.expires
                && !user.is_disabled
                && user.version == issued.user_version
        });
        found.filter(|_| is_right && lives).ok_or_else(|| self.refusal())
    }

    /// Whether this is the credential of the row, and is expired.
    pub fn has_expired(&self, issued: &IssuedCredential, now: i64) -> bool {
        let (expected, digest) = (issued.digest.as_bytes(), self.digest());
        issued.kind == self.kind
            && issued.expires <= now
            && constant_time::verify_slices_are_equal(expected, digest.as_bytes()).is_ok()
    }

    fn refusal(&self) -> AuthError {
        match self.kind {
            CredentialKind::Ticket => AuthError::InvalidTicket,
            CredentialKind::Session => AuthError::InvalidSession,
            CredentialKind::AccessToken => AuthError::InvalidToken,
        }
    }

    fn digest(&self) -> SecretDigest {
        let mut context = digest::Context::new(&digest::SHA256);
        for part in
            ["latchkey credential 1", self.kind.name(), self.id.as_str(), self.secret.expose()]
        {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        SecretDigest::new(context.finish().as_ref().to_vec())
    }

    /// The value that a browser must send in `X-XSRF-TOKEN` with the session cookie. It is computed from the cookie and
    /// never stored.
    pub fn xsrf_token(&self) -> SecretText {
        URL_SAFE_NO_PAD.encode(self.xsrf_tag()).into()
    }

    /// Checks the value of `X-XSRF-TOKEN`.
    ///
    /// # Errors
    /// `Xsrf`: the value is missing, or is that of another session.
    pub fn check_xsrf(&self, presented: Option<&[u8]>) -> Result<(), AuthError> {
        let tag = presented.and_then(|value| URL_SAFE_NO_PAD.decode(value).ok());
        let expected = self.xsrf_tag();
        let is_right = tag.is_some_and(|tag| {
            constant_time::verify_slices_are_equal(&tag, expected.as_ref()).is_ok()
        });
        if is_right { Ok(()) } else { Err(AuthError::Xsrf) }
    }

    fn xsrf_tag(&self) -> hmac::Tag {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.secret.expose().as_bytes());
        hmac::sign(&key, format!("latchkey xsrf 1 {}", self.id).as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Login, PasswordHash};
    use rstest::rstest;

    const HOUR: i64 = 3_600_000_000;
    const NOON: i64 = 1_800_000_000_000_000;

    fn user() -> User {
        User {
            tenant: TenantId::parse("Cust1").expect("tenant"),
            login: Login::parse("tje0").expect("login"),
            password_hash: PasswordHash::from_phc("h".to_owned()),
            is_administrator: false,
            is_disabled: false,
            version: 3,
        }
    }

    fn encode(text: &str) -> String {
        let bytes: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        format!("7T:{}", STANDARD.encode(bytes))
    }

    /// CONTRACT 27: `7T:` and base64 of UTF-16LE `guid;number;tenant`, the tenant optional.
    #[test]
    fn a_ticket_is_written_as_it_is_read() {
        for tenant in [None, Some(user().tenant)] {
            let ticket = Presented::generate(CredentialKind::Ticket, tenant.clone());
            let text = ticket.text();
            let encoded = text.expose().strip_prefix("7T:").expect("prefix");
            let bytes = STANDARD.decode(encoded).expect("base64");
            let plain: Vec<u8> = bytes.iter().copied().step_by(2).collect();
            let plain = String::from_utf8(plain).expect("text");
            let parts: Vec<&str> = plain.split(';').collect();
            assert_eq!(parts[0].len(), 32);
            assert!(parts[1].bytes().all(|digit| digit.is_ascii_digit()), "{plain}");
            assert_eq!(parts.get(2).copied(), tenant.as_ref().map(TenantId::name));

            let read = Presented::parse_ticket(text.expose()).expect("a ticket");
            assert_eq!(read.id(), ticket.id());
            assert_eq!(read.tenant(), tenant.as_ref());
            assert_eq!(read.digest().as_bytes(), ticket.digest().as_bytes());
        }
    }

    /// CONTRACT 27: every way to be malformed is refused alike.
    #[rstest]
    #[case::no_prefix("0123456789abcdef0123456789abcdef;1;")]
    #[case::only_the_prefix("7T:")]
    #[case::lower_case_prefix(&encode("0123456789abcdef0123456789abcdef;1").replace("7T", "7t"))]
    #[case::no_base64("7T:%%%")]
    #[case::odd_length("7T:YWJj")]
    #[case::lone_surrogate("7T:ANg=")]
    #[case::unpadded(&encode("0123456789abcdef0123456789abcdef;1").replace('=', ""))]
    #[case::guid_too_short(&encode("0123456789abcdef0123456789abcde;1"))]
    #[case::guid_no_hexadecimal(&encode("g123456789abcdef0123456789abcdef;1"))]
    #[case::no_number(&encode("0123456789abcdef0123456789abcdef"))]
    #[case::empty_number(&encode("0123456789abcdef0123456789abcdef;"))]
    #[case::signed_number(&encode("0123456789abcdef0123456789abcdef;+1"))]
    #[case::hexadecimal_number(&encode("0123456789abcdef0123456789abcdef;1a"))]
    #[case::arabic_digits(&encode("0123456789abcdef0123456789abcdef;١"))]
    #[case::number_too_long(&encode(&format!("0123456789abcdef0123456789abcdef;{}", "1".repeat(40))))]
    #[case::no_tenant_name(&encode("0123456789abcdef0123456789abcdef;1;a b"))]
    #[case::four_parts(&encode("0123456789abcdef0123456789abcdef;1;a;b"))]
    fn a_malformed_ticket_is_refused(#[case] text: &str) {
        let read = Presented::parse_ticket(text);
        assert!(matches!(read, Err(AuthError::InvalidTicket)), "{text}");
    }

    /// CONTRACT 27, 28: only the right secret of a living credential of an unchanged user passes.
    #[rstest]
    #[case(CredentialKind::Ticket, AuthError::InvalidTicket)]
    #[case(CredentialKind::Session, AuthError::InvalidSession)]
    #[case(CredentialKind::AccessToken, AuthError::InvalidToken)]
    fn a_credential_is_checked(#[case] kind: CredentialKind, #[case] refusal: AuthError) {
        let (presented, user) = (Presented::generate(kind, None), user());
        let issued = presented.issue(&user, Lifetime::Fixed(HOUR), NOON);
        let check = |issued: &IssuedCredential, user: &User, now| {
            presented.check(Some((issued, user)), now).map(|_found| ())
        };
        assert_eq!(check(&issued, &user, NOON), Ok(()));
        assert_eq!(check(&issued, &user, NOON + HOUR - 1), Ok(()));
        assert_eq!(check(&issued, &user, NOON + HOUR), Err(refusal), "expired");
        assert!(!presented.has_expired(&issued, NOON + HOUR - 1));
        assert!(presented.has_expired(&issued, NOON + HOUR));
        let changed = User { version: 4, ..user.clone() };
        assert_eq!(check(&issued, &changed, NOON), Err(refusal), "user changed");
        let disabled = User { is_disabled: true, ..user.clone() };
        assert_eq!(check(&issued, &disabled, NOON), Err(refusal), "user disabled");
        for other in CredentialKind::ALL.into_iter().filter(|other| *other != kind) {
            let other = IssuedCredential { kind: other, ..issued.clone() };
            assert_eq!(check(&other, &user, NOON), Err(refusal), "another kind");
        }
        let guess = Presented { secret: "1".into(), ..presented.clone() };
        assert_eq!(guess.check(Some((&issued, &user)), NOON).err(), Some(refusal), "wrong secret");
        assert!(!guess.has_expired(&issued, NOON + HOUR));
        assert_eq!(presented.check(None, NOON).err(), Some(refusal), "unknown");
        let forged = IssuedCredential { digest: SecretDigest::new(Vec::new()), ..issued };
        assert_eq!(check(&forged, &user, NOON), Err(refusal), "no digest");
    }

    /// CONTRACT 28.
    #[test]
    fn an_access_token_is_written_as_it_is_read() {
        let token = Presented::generate(CredentialKind::AccessToken, Some(user().tenant));
        let text = token.text();
        assert!(text.expose().starts_with("8A:Cust1."), "{}", text.expose());
        let read = Presented::parse_access_token(text.expose()).expect("one").expect("well-formed");
        assert_eq!(read.digest().as_bytes(), token.digest().as_bytes());
        assert_eq!(read.tenant(), token.tenant());
        for bad in ["8A:", "8A:cust1", "8A:.00", &text.expose().replace("Cust1", "a b")] {
            let read = Presented::parse_access_token(bad);
            assert!(matches!(read, Some(Err(AuthError::InvalidToken))), "{bad}");
        }
        assert!(Presented::parse_access_token("a.b.c").is_none());
    }

    /// CONTRACT 29: the value is bound to its session.
    #[test]
    fn the_xsrf_token_is_that_of_the_session() {
        let session = Presented::generate(CredentialKind::Session, None);
        let other = Presented::generate(CredentialKind::Session, None);
        let text = session.text();
        let read = Presented::parse_session(text.expose()).expect("a session");
        let token = read.xsrf_token();
        assert_eq!(session.check_xsrf(Some(token.expose().as_bytes())), Ok(()));
        assert_eq!(other.check_xsrf(Some(token.expose().as_bytes())), Err(AuthError::Xsrf));
        for bad in [&b""[..], b"x", b"\xff", &token.expose().as_bytes()[1..]] {
            assert_eq!(session.check_xsrf(Some(bad)), Err(AuthError::Xsrf));
        }
        assert_eq!(session.check_xsrf(None), Err(AuthError::Xsrf));
        for bad in ["", "å", &text.expose()[1..], &text.expose().replace(|_: char| true, "g")] {
            assert!(matches!(Presented::parse_session(bad), Err(AuthError::InvalidSession)));
        }
    }
}
