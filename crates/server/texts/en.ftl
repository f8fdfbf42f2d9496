# Latchkey's texts for people, in Project Fluent's format (https://projectfluent.org).
#
# One file a language, with the same messages and the same { $arguments } in each; a test compares
# them. Names of properties, headers and types come in as arguments and are not translated.

## Requests that cannot be served. Whole sentences.

SR_REQUIRED = { $property } is required.
SR_EITHER_REQUIRED = { $property } or { $other } is required.
SR_NOT_BOTH = Give { $property } or { $other }, not both.
SR_TOO_MANY_CHARACTERS = { $property } is longer than { $limit } characters.
SR_NUL_CHARACTER = { $property } must not have the character U+0000.
SR_TOO_MANY_BYTES = { $property } is longer than { $limit } bytes.
SR_RANGE = { $property } must be from { $from } to { $to }.
# $expected and $found are SR_KIND_… below.
SR_WRONG_TYPE = { $property } must be { $expected }, not { $found }.
SR_BODY_WRONG_TYPE = The body must be { $expected }, not { $found }.
SR_KEY_SHAPE = { $property } is not a key of this server: a key is `lk_` and 60 letters and digits.
SR_KEY_CHECKSUM = { $property } is mistyped: its checksum is wrong.
SR_ID_SHAPE = Id is not the id of a record: an id has 11 letters and digits.
SR_OWNER = Owner is not a user name.
SR_CURSOR = Cursor is not a value that List returned.
SR_MANY_HEADERS = There is more than one { $header } header.
SR_NO_HOST = The request names no valid host: a host is a name or an address, with or without a port.
SR_OTHER_HOST = The request names a host that this server does not have; add it to server.hosts in the server's configuration.
SR_BODY_BROKE_OFF = The body was cut off before its end.
SR_BAD_REQUEST = The request cannot be read.

# $charset is a charset's name, such as utf-8.
SR_NOT_TEXT = The body is not valid { $charset }.
# $coding is a compression's name, such as gzip.
SR_NOT_COMPRESSED = The body is not valid { $coding }.
SR_TOO_MANY_PARTS = The body is compressed in too many parts.
SR_NOT_JSON = The body is not valid JSON (line { $line }, column { $column }).
SR_NOT_XML = The body is not valid XML (byte { $position }).
SR_XML_MIXED = The XML mixes text and elements, or has content in a nil element (byte { $position }).
SR_XML_ENTITY = The XML has an entity other than the five that XML defines (byte { $position }).
SR_XML_ENCODING = The XML declaration names an encoding that is not supported.
SR_DOCUMENT_TYPE = The body has a document type declaration, which is not supported.
# $format is JSON or XML, $type a media type.
SR_SENT_AS_FORM = The body is { $format }, though Content-Type says that it is a form, which some clients set automatically; send Content-Type: { $type }.
SR_TOO_DEEP = The body is nested more than { $limit } levels deep.
SR_TOO_MANY = The body has more than { $limit } values.
# $number counts the operations of a JSON Patch from 1.
SR_PATCH_OPERATION = Operation { $number } of the patch is not valid.
SR_PATCH_FAILED = Operation { $number } of the patch cannot be applied: a test fails, or a parent or a value is missing. The first operation starts from an empty request.
SR_PATCH_TOO_LARGE = The patch has more than { $limit } operations, or copies too much.

SR_TIME_ZONE = SO-TimeZone is not a known time zone, such as NO, US-NY or Europe/Oslo.
SR_IDEMPOTENCY_KEY = Idempotency-Key must have 16 to 255 visible ASCII characters, and no spaces; quotes around them are allowed.
SR_IDEMPOTENCY_KEY_USED = This Idempotency-Key was used within the last 24 hours to save something else; send a new one for another save.
SR_QUOTA_RECORDS = This user has { $limit } records, the most that it may have (records.per_user); it can save again after some have ended and been removed.
SR_QUOTA_IDEMPOTENCY_KEYS = This user has sent { $limit } values of Idempotency-Key within 24 hours, the most that it may (limits.idempotency_keys_per_user).
SR_GRANT_DEAD = The grant at { $provider } is dead ({ $cause }): the user must connect again.
SR_GRANT_FAILING = No fresh token of { $provider } is available now ({ $cause }); try again.
SR_GRANT_BLOCKED = { $provider } does not accept this server as its client ({ $cause }); the operator must correct grants.providers.
SR_GRANTS_PAUSED = Refreshes are paused, as in a copy of a database; the operator resumes them with: latchkey grants resume.
SR_GRANT_BUSY = The refresh takes too long, or too many are under way; try again.
SR_GRANT_UNSAVED = New tokens have arrived and are waiting for the database; try again.
SR_REFRESHES_LIMIT = Too many refreshes or exchanges were requested; try again in { $limit } seconds.
SR_REPEATED = { $property } occurs more than once.
SR_MUST_BE = { $property } must be { $expected }.
SR_NOT_SUPPORTED = { $property } is not supported.
SR_SUBJECT_TOKEN = subject_token retrieves nothing: the key is unknown, or its record has ended.
SR_SCOPE = scope asks for more than the provider is known to have granted.
SR_NO_LIVING_TOKEN = There is no valid access token, and this server does not refresh it.
SR_NO_INTROSPECTION = { $provider } has no introspection endpoint for this tenant: Introspect needs a provider in grants.providers of the server's configuration that has one.
SR_PROVIDER = Provider is not configured for this tenant; send the exact name of a provider in grants.providers of the server's configuration.
SR_REDIRECT_URI = RedirectUri is not in the redirect_uris of { $provider } in the server's configuration.
SR_PKCE_VERIFIER = PkceVerifier is not a PKCE verifier: it has 43 to 128 letters, digits, hyphens, dots, underscores and tildes.
SR_CODE_SENT = This AuthorizationCode was sent to { $provider } before, and no code is sent twice: the user must connect again.
SR_CODE_REFUSED = { $provider } refused the AuthorizationCode or a value sent with it ({ $cause }): the user must connect again.
SR_CODE_LOST = { $provider } gave no usable answer ({ $cause }), and the code may be spent; nothing was saved, and the user must connect again.
SR_CODE_UNSAVED = { $provider } gave tokens for the AuthorizationCode, but they could not be saved; the code is spent, and the user must connect again.
SR_ID_TOKEN = { $provider } sent an id_token that is not valid for this server; nothing was saved.
SR_NO_ID_TOKEN = Nonce cannot be compared, because { $provider } sent no id_token that can be verified; nothing was saved.
SR_NONCE = Nonce differs from that of the id_token that { $provider } sent; nothing was saved.
SR_STATE = State is not that of an authorization by this user with the same Provider, RedirectUri, Nonce, PkceVerifier, Parameters and Key, or it is older than ten minutes; the code was not sent.
SR_ISSUER = Issuer differs from the issuer of { $provider } in the server's configuration; the code was not sent.
SR_OTHER_USER = The user who came back from { $provider } is not the one whose tokens these are; nothing was saved.
SR_NOTHING_TO_RECONNECT = Key retrieves nothing, so there is nothing to connect again.
SR_NO_AUTHORIZATION_ENDPOINT = Provider: { $provider } has no authorization_endpoint in the server's configuration, so users cannot be sent there.
SR_ONLY_OWNER_REPLACES = Only the owner of these tokens, or an administrator, may replace them.
SR_OTHER_PROVIDER = Provider is not the provider of the tokens that Key retrieves.
SR_OTHER_GENERATION = Generation is not that of the tokens, which is { $generation }.
SR_SCOPES = Scopes must be names of scopes separated by spaces, in visible ASCII characters without quotes and backslashes.
SR_PARAMETER = Parameters must have { $name }, which is { $allowed }.
SR_UNKNOWN_PARAMETER = Parameters may have only these names: { $known }.

SR_LOGIN_REQUIRED = This call needs a login; WWW-Authenticate lists the schemes that are accepted.
SR_LOGIN_REFUSED = The user name or the password is wrong.
SR_LOGIN_SCHEME = This Authorization scheme is not accepted here; WWW-Authenticate lists those that are.
SR_LOGIN_NOT_TEXT = The Authorization header is malformed: it has bytes that are not text.
SR_LOGIN_NOT_BASE64 = The Authorization header is malformed: the credentials are not base64.
SR_LOGIN_CONTROL = The Authorization header is malformed: the credentials hold a control character.
SR_LOGIN_NO_COLON = The Authorization header is malformed: the credentials have no colon.
SR_TICKET_INVALID = The ticket is malformed, expired or revoked.
SR_TOKEN_INVALID = The bearer token is malformed, expired or not meant for this server.
SR_NO_ISSUER = Only this server's own access tokens are accepted as bearer tokens; auth.bearer in the server's configuration adds those of an issuer.
SR_SESSION_OVER = The session has ended; sign in again.
SR_XSRF = X-XSRF-TOKEN is missing, or does not belong to the session.
SR_APPLICATION_REQUIRED = SO-AppToken is required with a ticket.
SR_APPLICATION_UNKNOWN = SO-AppToken is not the token of a registered, enabled application.
SR_APPLICATION_TENANT = The application is not allowed for this tenant.
SR_OTHER_TENANT = The credential belongs to another tenant than the path.
SR_AGENT_CLOSED = The User agent is closed for this tenant and application; online.user_agent in the server's configuration opens it.
SR_BEARER_OFF = Bearer tokens are not accepted here; auth.schemes.bearer in the server's configuration switches them on.
SR_NO_USER = The caller is not a user of this server.
SR_OTHER_SITE = The form was sent from another site.
SR_ONLY_OWNER_REVOKES = Only the owner of these tokens, or an administrator, may revoke them.
SR_ONLY_OWNER_REKEYS = Only the owner of these tokens, or an administrator, may give them another key.
# A time limit; s is the unit symbol of seconds.
SR_THROTTLED = Too many passwords were tried; try again in { $limit } s.
SR_KEYS_UNAVAILABLE = The keys of the token's issuer cannot be read now; try again.

# $index is a path, such as /api/v1.
SR_NO_SUCH_PATH = Nothing is served on this path; { $index } lists what is.
# $methods is a list of HTTP methods, such as GET, HEAD.
SR_METHOD_NOT_ALLOWED = This path serves only { $methods }.
# $types is a list of media types, such as application/json, text/xml.
SR_NOT_ACCEPTABLE = None of the types in Accept is available; ask for { $types }.
SR_ANSWER_NOT_XML = The answer has a character that XML cannot hold; ask for application/json.
# A time limit; s is the unit symbol of seconds.
SR_TOO_SLOW = The body did not arrive within { $limit } s.
SR_BODY_TOO_LONG = The body is longer than { $limit } bytes.
SR_CONTENT_TYPE_MISSING = The request has a body but no Content-Type; send { $types }.
SR_CONTENT_TYPE = This call does not support the Content-Type; send { $types }.
SR_CHARSET = The charset of the Content-Type is not supported; send utf-8, utf-16 or iso-8859-1.
# $codings is a list of compressions, such as gzip, br.
SR_CONTENT_ENCODING = The Content-Encoding is not supported; send one of { $codings }, or none.

SR_INTERNAL = Something went wrong in the server; its log has the cause under this request id.
SR_OVERLOADED = The server is overloaded and has saved nothing; try again.
SR_UNAVAILABLE = The database is unavailable and has confirmed nothing; try again.
SR_DISK_FULL = The database's disk is full or does not work; the database has confirmed nothing. Try again.
SR_DATABASE_REPLACED = The database's file was moved or replaced while the server was running; the database has confirmed nothing. Ask the administrator.
SR_KEY_MISSING = This server lacks a master key; try again.
SR_KEY_USED_UP = The master key has sealed as many records as one key may, and nothing was saved; the operator must rotate it with: latchkey keys rotate.
SR_NOT_AUDITED = The server cannot write its audit log, so it answers no call that must be logged. Try again later.
SR_STOPPING = The server is stopping and has saved nothing.
SR_REQUEST_ID = Request id: { $id }

## More about what is wrong, in MessageDetail. Whole sentences.

SR_DETAIL_REQUIRED = { $property } is missing, null or empty in the body; the case of names does not matter.
SR_DETAIL_FOUND = It is { $found }.
SR_DETAIL_LENGTH = Its length is { $found }; the limit is { $limit }.
SR_DETAIL_KEY_LENGTH = The text has { $found } characters; a key has { $limit }.
SR_DETAIL_POSITION = Byte { $position } of the body is the first invalid one.
SR_DETAIL_CHARSET = If the body is in another charset, name it in Content-Type, such as charset=iso-8859-1.
SR_DETAIL_TIME_ZONE = A zone has a code, such as NO or US-NY, an IANA name, such as Europe/Oslo, or a Windows name, such as W. Europe Standard Time.

## The kind of a value, in SR_WRONG_TYPE and SR_BODY_WRONG_TYPE

SR_KIND_NULL = null
SR_KIND_BOOLEAN = a boolean
SR_KIND_NUMBER = a number
SR_KIND_INTEGER = a whole number
SR_KIND_FRACTION = a number with a fraction
SR_KIND_STRING = a string
SR_KIND_ARRAY = an array
SR_KIND_OBJECT = an object

## Why a right is limited, and hints for its holder. Whole sentences.

SR_NOT_OWNER = You are not the owner of these tokens.
SR_ONLY_OWNER = Only the owner of these tokens may see them.
SR_ACCESS_MANDATORY = This field is mandatory.
# $date is a date and time in the reader's culture.
SR_ACCESS_TOKEN_EXPIRES = The access token expires on { $date }.
SR_ACCESS_TOKEN_EXPIRED = The access token expired on { $date }.
SR_REFRESHED_BY_SERVER = This server refreshes the tokens, and keeps the refresh token to itself.

## The purpose of each call, in the index of the API. No full stop.

SR_SAVE_EXTERNAL_TOKENS = Save a provider's tokens and get the key that retrieves them
SR_GET_EXTERNAL_TOKENS = Get the tokens that a key retrieves
SR_AUTHORIZE = Get the URL at which a user consents, and the values that belong to it
SR_EXCHANGE_CODE = Exchange an authorization code for tokens, save them and get the key that retrieves them
SR_LIST_EXTERNAL_TOKENS = List saved tokens, without the tokens themselves
SR_DESCRIBE_EXTERNAL_TOKENS = Describe saved tokens, without the tokens themselves
SR_REVOKE_EXTERNAL_TOKENS = Destroy saved tokens at once, for good
SR_REFRESH_EXTERNAL_TOKENS = Refresh saved tokens, and get them
SR_REVOKE_GRANT = Revoke the grant behind saved tokens at its provider, and destroy them
SR_INTROSPECT_EXTERNAL_TOKENS = Ask the provider whether a saved access token works
SR_REKEY_EXTERNAL_TOKENS = Give saved tokens a new key, and end the current one
SR_EXCHANGE_TOKEN = Exchange a key for an access token, as OAuth clients do
SR_REPLACE_EXTERNAL_TOKENS = Store other tokens under an existing key
SR_CURRENT_PRINCIPAL = Who is calling
SR_CURRENT_TOKEN = An access token for the Bearer scheme
SR_SIGN_IN_PAGE = The form to sign in
SR_SIGN_IN = Sign in
SR_SIGN_OUT = Sign out
SR_ACCOUNT_PAGE = Who is signed in, and the tickets
SR_NEW_TICKET = New ticket
SR_REVOKE_TICKET = Revoke the ticket
SR_DESCRIBE = Describe this call, without running it
SR_API_VERSIONS = The versions of the API, and of this server
SR_API_ROUTES = Every path that is served, with what each method does
SR_OPENAPI = The OpenAPI document
SR_API_VIEWER = The OpenAPI document, to read and try
SR_HEALTH = Whether the process answers
SR_READINESS = Whether the database and the keys can be used

## Headings of the pages that describe the API

SR_REQUEST = Request
SR_ANSWER = Answer

## The pages to sign in and of the account. Labels.

SR_API = API
SR_ACCOUNT = Account
SR_LOGIN_NAME = User name
SR_PASSWORD = Password
SR_TENANT = Tenant
SR_TICKETS = Tickets
SR_TICKET_SHOWN_ONCE = This is the ticket. It is shown only now.
SR_ID = Id
SR_CREATED = Created
SR_EXPIRES = Expires
