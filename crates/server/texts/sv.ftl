# Latchkey's texts for people, in Swedish. See en.ftl.

## Requests that cannot be served. Whole sentences.

SR_REQUIRED = { $property } måste anges.
SR_EITHER_REQUIRED = { $property } eller { $other } måste anges.
SR_NOT_BOTH = Ange { $property } eller { $other }, inte båda.
SR_TOO_MANY_CHARACTERS = { $property } är längre än { $limit } tecken.
SR_NUL_CHARACTER = { $property } får inte innehålla tecknet U+0000.
SR_TOO_MANY_BYTES = { $property } är längre än { $limit } byte.
SR_RANGE = { $property } måste vara från { $from } till { $to }.
# $expected and $found are SR_KIND_… below.
SR_WRONG_TYPE = { $property } måste vara { $expected }, inte { $found }.
SR_BODY_WRONG_TYPE = Innehållet i begäran måste vara { $expected }, inte { $found }.
SR_KEY_SHAPE = { $property } är inte en nyckel från den här servern: en nyckel består av `lk_` och 60 bokstäver och siffror.
SR_KEY_CHECKSUM = { $property } är felskriven: kontrollsumman stämmer inte.
SR_ID_SHAPE = Id är inte en posts id: ett id består av 11 bokstäver och siffror.
SR_OWNER = Owner är inte ett användarnamn.
SR_CURSOR = Cursor är inte ett värde som List har svarat med.
SR_MANY_HEADERS = Headern { $header } förekommer mer än en gång.
SR_NO_HOST = Begäran anger ingen giltig värd: en värd är ett namn eller en adress, med eller utan port.
SR_OTHER_HOST = Begäran anger en värd som den här servern inte har. Den läggs till med server.hosts i serverns konfiguration.
SR_BODY_BROKE_OFF = Överföringen av innehållet i begäran avbröts.
SR_BAD_REQUEST = Begäran kan inte läsas.

# $charset is a charset's name, such as utf-8.
SR_NOT_TEXT = Innehållet i begäran är inte giltig { $charset }.
# $coding is a compression's name, such as gzip.
SR_NOT_COMPRESSED = Innehållet i begäran är inte korrekt komprimerat med { $coding }.
SR_TOO_MANY_PARTS = Innehållet i begäran är komprimerat i för många delar.
SR_NOT_JSON = Innehållet i begäran är inte giltig JSON (rad { $line }, kolumn { $column }).
SR_NOT_XML = Innehållet i begäran är inte giltig XML (byte { $position }).
SR_XML_MIXED = XML-innehållet har text bredvid element, eller innehåll i ett nil-element (byte { $position }).
SR_XML_ENTITY = XML-innehållet har en entitet som inte är en av XML:s egna fem (byte { $position }).
SR_XML_ENCODING = XML-deklarationen anger en teckenkodning som inte stöds här.
SR_DOCUMENT_TYPE = Innehållet i begäran har en dokumenttypsdeklaration, vilket inte stöds här.
SR_SENT_AS_FORM = Innehållet är { $format }, men Content-Type säger att det är ett formulär, vilket vissa klienter gör av sig själva. Skicka Content-Type: { $type }.
SR_TOO_DEEP = Innehållet i begäran är nästlat i mer än { $limit } nivåer.
SR_TOO_MANY = Innehållet i begäran har fler än { $limit } värden.
# $number counts the operations of a JSON Patch from 1.
SR_PATCH_OPERATION = Operation { $number } i patchen är inte giltig.
SR_PATCH_FAILED = Operation { $number } i patchen kan inte utföras: Ett test misslyckas, eller ett överordnat element eller ett värde saknas. Den första operationen utgår från en tom begäran.
SR_PATCH_TOO_LARGE = Patchen har mer än { $limit } operationer eller kopierar för mycket.

SR_TIME_ZONE = SO-TimeZone måste vara en känd tidszon, till exempel NO, US-NY eller Europe/Oslo.
SR_IDEMPOTENCY_KEY = Idempotency-Key måste ha 16 till 255 synliga ASCII-tecken, utan mellanslag; citattecken runt dem är tillåtna.
SR_IDEMPOTENCY_KEY_USED = Denna Idempotency-Key har använts för att spara något annat under de senaste 24 timmarna; skicka en annan när något annat ska sparas.
SR_QUOTA_RECORDS = Den här användaren har { $limit } poster, vilket är det högsta tillåtna (records.per_user); den kan spara igen när några har avslutats och tagits bort.
SR_QUOTA_IDEMPOTENCY_KEYS = Den här användaren har skickat { $limit } värden av Idempotency-Key inom 24 timmar, vilket är det högsta tillåtna (limits.idempotency_keys_per_user).
SR_GRANT_DEAD = Åtkomsten hos { $provider } är död ({ $cause }): användaren måste ansluta igen.
SR_GRANT_FAILING = Ingen ny token från { $provider } kan fås just nu ({ $cause }). Försök igen.
SR_GRANT_BLOCKED = { $provider } godtar inte den här servern som klient ({ $cause }); administratören måste rätta grants.providers.
SR_GRANTS_PAUSED = Förnyelser är pausade, som i en kopia av en databas; administratören återupptar dem med: latchkey grants resume.
SR_GRANT_BUSY = Förnyelsen tar för lång tid, eller så pågår för många. Försök igen.
SR_GRANT_UNSAVED = Nya token har kommit och väntar på databasen. Försök igen.
SR_REFRESHES_LIMIT = För många förnyelser eller inlösningar begärdes. Försök igen om { $limit } sekunder.
SR_REPEATED = { $property } förekommer mer än en gång.
SR_MUST_BE = { $property } måste vara { $expected }.
SR_NOT_SUPPORTED = { $property } stöds inte.
SR_SUBJECT_TOKEN = subject_token hämtar ingenting: nyckeln är okänd, eller så är dess post avslutad.
SR_SCOPE = scope begär mer än vad leverantören är känd för att ha beviljat.
SR_NO_LIVING_TOKEN = Det finns ingen giltig åtkomsttoken, och den här servern förnyar den inte.
SR_NO_INTROSPECTION = { $provider } har ingen introspection-slutpunkt för den här klientorganisationen: Introspect kräver en leverantör med en sådan slutpunkt i grants.providers i serverns konfiguration.
SR_PROVIDER = Provider är inte konfigurerad för den här klientorganisationen. Skicka det exakta namnet på en leverantör i grants.providers i serverns konfiguration.
SR_REDIRECT_URI = RedirectUri finns inte i redirect_uris för { $provider } i serverns konfiguration.
SR_PKCE_VERIFIER = PkceVerifier är ingen PKCE-verifierare: den har 43 till 128 bokstäver, siffror, bindestreck, punkter, understreck och tilden.
SR_CODE_SENT = Denna AuthorizationCode har redan skickats till { $provider }, och ingen kod skickas två gånger: användaren måste ansluta igen.
SR_CODE_REFUSED = { $provider } avvisade AuthorizationCode eller det som följde med ({ $cause }): användaren måste ansluta igen.
SR_CODE_LOST = { $provider } gav inget användbart svar ({ $cause }), och koden kan vara förbrukad. Inget har sparats, och användaren måste ansluta igen.
SR_CODE_UNSAVED = { $provider } gav token för AuthorizationCode, men de kunde inte sparas; koden är förbrukad och användaren måste ansluta igen.
SR_ID_TOKEN = { $provider } skickade tillsammans med token en id_token som inte gäller för den här servern. Inget har sparats.
SR_NO_ID_TOKEN = Nonce kan inte jämföras eftersom { $provider } inte skickade någon id_token som kan kontrolleras. Inget har sparats.
SR_NONCE = Nonce är inte den som finns i den id_token som { $provider } skickade. Inget har sparats.
SR_STATE = State är inte den som gavs denna användare för samma Provider, RedirectUri, Nonce, PkceVerifier, Parameters och Key, eller är äldre än tio minuter; koden skickades inte.
SR_ISSUER = Issuer är inte den som serverns konfiguration har för { $provider }; koden skickades inte.
SR_OTHER_USER = Användaren som kom tillbaka från { $provider } är en annan än den som dessa token tillhör; inget har sparats.
SR_NOTHING_TO_RECONNECT = Key hämtar ingenting, så det finns inget att ansluta igen.
SR_NO_AUTHORIZATION_ENDPOINT = Provider: { $provider } har ingen authorization_endpoint i serverns konfiguration, så användare kan inte skickas dit.
SR_ONLY_OWNER_REPLACES = Bara ägaren till dessa token eller en administratör får ersätta dem.
SR_OTHER_PROVIDER = Provider är inte den som de token som Key hämtar kommer från.
SR_OTHER_GENERATION = Generation är inte den som dessa token har, som är { $generation }.
SR_SCOPES = Scopes måste vara namn på behörigheter med mellanslag emellan, i synliga ASCII-tecken utan citattecken och omvända snedstreck.
SR_PARAMETER = Parameters måste ha { $name }: { $allowed }.
SR_UNKNOWN_PARAMETER = Parameters får bara ha dessa namn: { $known }.

SR_LOGIN_REQUIRED = Det här anropet kräver inloggning. WWW-Authenticate visar vilka autentiseringsmetoder som godtas.
SR_LOGIN_REFUSED = Användarnamnet eller lösenordet är fel.
SR_LOGIN_SCHEME = Autentiseringsmetoden i Authorization godtas inte här. WWW-Authenticate visar vilka som godtas.
SR_LOGIN_NOT_TEXT = Headern Authorization är felaktigt utformad: den innehåller byte som inte är text.
SR_LOGIN_NOT_BASE64 = Headern Authorization är felaktigt utformad: inloggningsuppgifterna är inte base64.
SR_LOGIN_CONTROL = Headern Authorization är felaktigt utformad: inloggningsuppgifterna innehåller ett styrtecken.
SR_LOGIN_NO_COLON = Headern Authorization är felaktigt utformad: inloggningsuppgifterna saknar kolon.
SR_TICKET_INVALID = Inloggningsbiljetten är felaktigt utformad, har gått ut eller har återkallats.
SR_TOKEN_INVALID = Bearer-token är felaktigt utformad, har gått ut eller är inte avsedd för den här servern.
SR_NO_ISSUER = Av bearer-token godtas här bara åtkomsttoken från den här servern. Med auth.bearer i serverns konfiguration kan en annan utfärdare anges.
SR_SESSION_OVER = Sessionen är avslutad. Logga in igen.
SR_XSRF = X-XSRF-TOKEN saknas eller hör inte till sessionen.
SR_APPLICATION_REQUIRED = SO-AppToken måste anges tillsammans med en inloggningsbiljett.
SR_APPLICATION_UNKNOWN = SO-AppToken hör inte till en registrerad och aktiverad applikation.
SR_APPLICATION_TENANT = Applikationen är inte tillåten för den här klientorganisationen.
SR_OTHER_TENANT = Inloggningsuppgifterna hör till en annan klientorganisation än den i sökvägen.
SR_AGENT_CLOSED = User agent är stängd för den här klientorganisationen och applikationen. Den öppnas med online.user_agent i serverns konfiguration.
SR_BEARER_OFF = Bearer-token godtas inte här. De aktiveras med auth.schemes.bearer i serverns konfiguration.
SR_NO_USER = Den som anropar är inte användare på den här servern.
SR_OTHER_SITE = Formuläret skickades från en annan webbplats.
SR_ONLY_OWNER_REVOKES = Bara ägaren till dessa token eller en administratör får återkalla dem.
SR_ONLY_OWNER_REKEYS = Bara ägaren till dessa token eller en administratör får ge dem en annan nyckel.
# A time limit; s is the unit symbol of seconds.
SR_THROTTLED = För många lösenord har prövats. Försök igen om { $limit } s.
SR_KEYS_UNAVAILABLE = Nycklarna från utfärdaren av denna token kan inte läsas just nu. Försök igen.

# $index is a path, such as /api/v1.
SR_NO_SUCH_PATH = Det finns ingenting på den här sökvägen. Se { $index } för de sökvägar som finns.
# $methods is a list of HTTP methods, such as GET, HEAD.
SR_METHOD_NOT_ALLOWED = Den här sökvägen stöder bara { $methods }.
# $types is a list of media types, such as application/json, text/xml.
SR_NOT_ACCEPTABLE = Ingen av typerna i Accept är tillgänglig här. Begär { $types }.
SR_ANSWER_NOT_XML = Svaret innehåller ett tecken som inte kan återges i XML. Begär application/json.
# A time limit; s is the unit symbol of seconds.
SR_TOO_SLOW = Innehållet i begäran kom inte fram inom { $limit } s.
SR_BODY_TOO_LONG = Innehållet i begäran är längre än { $limit } byte.
SR_CONTENT_TYPE_MISSING = Begäran har innehåll men saknar Content-Type. Skicka { $types }.
SR_CONTENT_TYPE = Det här anropet stöder inte typen i Content-Type. Skicka { $types }.
SR_CHARSET = Teckenuppsättningen i Content-Type stöds inte här. Skicka utf-8, utf-16 eller iso-8859-1.
# $codings is a list of compressions, such as gzip, br.
SR_CONTENT_ENCODING = Komprimeringen i Content-Encoding stöds inte här. Använd { $codings } eller ingen komprimering.

SR_INTERNAL = Något gick fel på servern. Orsaken finns i serverns logg under detta begärande-id.
SR_OVERLOADED = Servern är överbelastad och har inte sparat något. Försök igen.
SR_UNAVAILABLE = Databasen är inte tillgänglig och har inte bekräftat något. Försök igen.
SR_DISK_FULL = Databasens disk är full eller fungerar inte; ingenting är bekräftat. Försök igen.
SR_DATABASE_REPLACED = Databasens fil flyttades eller byttes ut medan servern kördes; ingenting är bekräftat. Kontakta administratören.
SR_KEY_MISSING = Den här servern saknar en huvudnyckel. Försök igen.
SR_KEY_USED_UP = Huvudnyckeln har förseglat så många poster som en nyckel får, och inget har sparats. Administratören måste byta den med: latchkey keys rotate.
SR_NOT_AUDITED = Servern kan inte skriva sin granskningslogg och besvarar därför inga anrop som måste loggas. Försök igen senare.
SR_STOPPING = Servern håller på att stängas av och har inte sparat något.
SR_REQUEST_ID = Begärande-id: { $id }

SR_DETAIL_REQUIRED = { $property } saknas, är null eller är tom i innehållet som lästes. Namn läses oberoende av stora och små bokstäver.
SR_DETAIL_FOUND = Värdet är { $found }.
SR_DETAIL_LENGTH = Längden är { $found } och gränsen är { $limit }.
SR_DETAIL_KEY_LENGTH = Texten har { $found } tecken, en nyckel har { $limit }.
SR_DETAIL_POSITION = Byte { $position } i innehållet är den första som är ogiltig.
SR_DETAIL_CHARSET = Om innehållet har en annan teckenuppsättning måste den anges i Content-Type, till exempel charset=iso-8859-1.
SR_DETAIL_TIME_ZONE = En zon har en kod, som NO eller US-NY, ett IANA-namn, som Europe/Oslo, eller ett Windows-namn, som W. Europe Standard Time.

## What a value is, in SR_WRONG_TYPE and SR_BODY_WRONG_TYPE

SR_KIND_NULL = null
SR_KIND_BOOLEAN = ett booleskt värde
SR_KIND_NUMBER = ett tal
SR_KIND_INTEGER = ett heltal
SR_KIND_FRACTION = ett tal med decimaler
SR_KIND_STRING = en sträng
SR_KIND_ARRAY = en array
SR_KIND_OBJECT = ett objekt

## Why a right is limited, and hints for its holder. Whole sentences.

SR_NOT_OWNER = Du äger inte dessa token.
SR_ONLY_OWNER = Bara ägaren till dessa token får se dem.
SR_ACCESS_MANDATORY = Det här fältet är obligatoriskt.
# $date is a date and time in the reader's culture.
SR_ACCESS_TOKEN_EXPIRES = Åtkomsttoken går ut den { $date }.
SR_ACCESS_TOKEN_EXPIRED = Åtkomsttoken gick ut den { $date }.
SR_REFRESHED_BY_SERVER = Den här servern förnyar token och behåller förnyelsetoken själv.

## What each call does, in the index of the API. No full stop.

SR_SAVE_EXTERNAL_TOKENS = Spara token från en leverantör och få nyckeln som hämtar dem
SR_GET_EXTERNAL_TOKENS = Hämta de token som hör till en nyckel
SR_AUTHORIZE = Få den URL där en användare ger sitt samtycke, och det som hör till
SR_EXCHANGE_CODE = Lös in en auktoriseringskod mot token, spara dem och få nyckeln som hämtar dem
SR_LIST_EXTERNAL_TOKENS = Lista sparade token, utan själva token
SR_DESCRIBE_EXTERNAL_TOKENS = Beskriv sparade token, utan själva token
SR_REVOKE_EXTERNAL_TOKENS = Förstör sparade token genast och för gott
SR_REFRESH_EXTERNAL_TOKENS = Förnya sparade token och hämta dem
SR_REVOKE_GRANT = Återkalla åtkomsten bakom sparade token hos leverantören, och förstör dem
SR_INTROSPECT_EXTERNAL_TOKENS = Fråga leverantören om en sparad åtkomsttoken fungerar
SR_REKEY_EXTERNAL_TOKENS = Ge sparade token en annan nyckel, och avsluta den de har
SR_EXCHANGE_TOKEN = Byt en nyckel mot en åtkomsttoken, så som OAuth-klienter gör
SR_REPLACE_EXTERNAL_TOKENS = Lägg andra token under en nyckel som finns
SR_CURRENT_PRINCIPAL = Vem som anropar
SR_CURRENT_TOKEN = En åtkomsttoken för autentisering med Bearer
SR_SIGN_IN_PAGE = Inloggningsformuläret
SR_SIGN_IN = Logga in
SR_SIGN_OUT = Logga ut
SR_ACCOUNT_PAGE = Vem som är inloggad, och inloggningsbiljetterna
SR_NEW_TICKET = Ny inloggningsbiljett
SR_REVOKE_TICKET = Återkalla inloggningsbiljetten
SR_DESCRIBE = Beskriv det här anropet utan att utföra det
SR_API_VERSIONS = Versionerna av API:et och av den här servern
SR_API_ROUTES = Alla sökvägar som finns och vad varje metod gör
SR_OPENAPI = OpenAPI-dokumentet
SR_API_VIEWER = OpenAPI-dokumentet, att läsa och prova
SR_HEALTH = Om processen svarar
SR_READINESS = Om databasen och nycklarna kan användas

## Headings of the pages that describe the API

SR_REQUEST = Begäran
SR_ANSWER = Svar

## The pages to sign in and of the account. Labels.

SR_API = API
SR_ACCOUNT = Konto
SR_LOGIN_NAME = Användarnamn
SR_PASSWORD = Lösenord
SR_TENANT = Klientorganisation
SR_TICKETS = Inloggningsbiljetter
SR_TICKET_SHOWN_ONCE = Det här är inloggningsbiljetten. Den visas bara nu.
SR_ID = Id
SR_CREATED = Skapad
SR_EXPIRES = Går ut
