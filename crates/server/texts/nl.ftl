# Latchkey's texts for people, in Dutch. See en.ftl.

## Requests that cannot be served. Whole sentences.

SR_REQUIRED = { $property } is verplicht.
SR_EITHER_REQUIRED = { $property } of { $other } is verplicht.
SR_NOT_BOTH = Geef { $property } of { $other } op, niet allebei.
SR_TOO_MANY_CHARACTERS = { $property } is langer dan { $limit } tekens.
SR_NUL_CHARACTER = { $property } mag het teken U+0000 niet bevatten.
SR_TOO_MANY_BYTES = { $property } is langer dan { $limit } bytes.
SR_RANGE = { $property } moet van { $from } tot en met { $to } zijn.
# $expected and $found are SR_KIND_… below.
SR_WRONG_TYPE = { $property } moet { $expected } zijn, maar is { $found }.
SR_BODY_WRONG_TYPE = De body moet { $expected } zijn, maar is { $found }.
SR_KEY_SHAPE = { $property } is geen sleutel van deze server: een sleutel bestaat uit `lk_` en 60 letters en cijfers.
SR_KEY_CHECKSUM = { $property } bevat een typefout: de controlesom klopt niet.
SR_ID_SHAPE = Id is niet de id van een record: een id bestaat uit 11 letters en cijfers.
SR_OWNER = Owner is geen gebruikersnaam.
SR_CURSOR = Cursor is geen waarde die List heeft teruggegeven.
SR_MANY_HEADERS = De header { $header } komt meer dan één keer voor.
SR_NO_HOST = Het verzoek noemt geen geldige host: een host is een naam of een adres, met of zonder poort.
SR_OTHER_HOST = Het verzoek noemt een host die deze server niet heeft. Voeg hem toe met server.hosts in de configuratie van de server.
SR_BODY_BROKE_OFF = De overdracht van de body is afgebroken.
SR_BAD_REQUEST = Het verzoek kan niet worden gelezen.

# $charset is a charset's name, such as utf-8.
SR_NOT_TEXT = De body is geen geldige { $charset }.
# $coding is a compression's name, such as gzip.
SR_NOT_COMPRESSED = De body is niet correct gecomprimeerd met { $coding }.
SR_TOO_MANY_PARTS = De body is in te veel delen gecomprimeerd.
SR_NOT_JSON = De body is geen geldige JSON (regel { $line }, kolom { $column }).
SR_NOT_XML = De body is geen geldige XML (byte { $position }).
SR_XML_MIXED = De XML heeft tekst naast elementen, of inhoud in een nil-element (byte { $position }).
SR_XML_ENTITY = De XML heeft een entiteit die niet een van de vijf van XML zelf is (byte { $position }).
SR_XML_ENCODING = De XML-declaratie noemt een tekencodering die hier niet wordt ondersteund.
SR_DOCUMENT_TYPE = De body bevat een documenttypedeclaratie en die wordt hier niet ondersteund.
SR_SENT_AS_FORM = De inhoud is { $format }, maar volgens Content-Type een formulier, wat sommige clients vanzelf sturen. Stuur Content-Type: { $type }.
SR_TOO_DEEP = De body is meer dan { $limit } niveaus diep genest.
SR_TOO_MANY = De body heeft meer dan { $limit } waarden.
# $number counts the operations of a JSON Patch from 1.
SR_PATCH_OPERATION = Bewerking { $number } van de patch is ongeldig.
SR_PATCH_FAILED = Bewerking { $number } van de patch kan niet worden toegepast: een test mislukt, of een bovenliggend element of een waarde ontbreekt. De eerste bewerking begint met een leeg verzoek.
SR_PATCH_TOO_LARGE = De patch heeft meer dan { $limit } bewerkingen of kopieert te veel.

SR_TIME_ZONE = SO-TimeZone moet een bekende tijdzone zijn, zoals NO, US-NY of Europe/Oslo.
SR_IDEMPOTENCY_KEY = Idempotency-Key moet 16 tot 255 zichtbare ASCII-tekens hebben, zonder spaties; aanhalingstekens eromheen zijn toegestaan.
SR_IDEMPOTENCY_KEY_USED = Met deze Idempotency-Key is in de afgelopen 24 uur iets anders opgeslagen; stuur een andere om iets anders op te slaan.
SR_QUOTA_RECORDS = Deze gebruiker heeft { $limit } records, het toegestane maximum (records.per_user); opslaan kan weer zodra er enkele zijn beëindigd en verwijderd.
SR_QUOTA_IDEMPOTENCY_KEYS = Deze gebruiker heeft binnen 24 uur { $limit } waarden van Idempotency-Key verzonden, het toegestane maximum (limits.idempotency_keys_per_user).
SR_GRANT_DEAD = De toestemming bij { $provider } is vervallen ({ $cause }): de gebruiker moet opnieuw verbinding maken.
SR_GRANT_FAILING = Er is nu geen nieuw token van { $provider } te krijgen ({ $cause }). Probeer het opnieuw.
SR_GRANT_BLOCKED = { $provider } accepteert deze server niet als client ({ $cause }); de beheerder moet grants.providers corrigeren.
SR_GRANTS_PAUSED = Vernieuwen is onderbroken, zoals in een kopie van een database; de beheerder hervat het met: latchkey grants resume.
SR_GRANT_BUSY = Het vernieuwen duurt te lang, of er zijn er te veel bezig. Probeer het opnieuw.
SR_GRANT_UNSAVED = Er zijn nieuwe tokens aangekomen die op de database wachten. Probeer het opnieuw.
SR_REFRESHES_LIMIT = Er is te vaak om vernieuwing of inwisseling gevraagd. Probeer het over { $limit } seconden opnieuw.
SR_REPEATED = { $property } komt meer dan één keer voor.
SR_MUST_BE = { $property } moet { $expected } zijn.
SR_NOT_SUPPORTED = { $property } wordt niet ondersteund.
SR_SUBJECT_TOKEN = subject_token haalt niets op: de sleutel is onbekend, of het record ervan is beëindigd.
SR_SCOPE = scope vraagt meer dan de provider voor zover bekend heeft toegekend.
SR_NO_LIVING_TOKEN = Er is geen geldig toegangstoken, en deze server vernieuwt het niet.
SR_NO_INTROSPECTION = { $provider } heeft geen introspection-eindpunt voor deze tenant: Introspect vereist een provider met zo’n eindpunt in grants.providers in de configuratie van de server.
SR_PROVIDER = Provider is niet geconfigureerd voor deze tenant. Stuur de exacte naam van een provider in grants.providers in de configuratie van de server.
SR_REDIRECT_URI = RedirectUri staat niet in redirect_uris van { $provider } in de configuratie van de server.
SR_PKCE_VERIFIER = PkceVerifier is geen PKCE-verifier: die heeft 43 tot 128 letters, cijfers, koppeltekens, punten, liggende streepjes en tildes.
SR_CODE_SENT = Deze AuthorizationCode is al naar { $provider } gestuurd, en geen code wordt twee keer gestuurd: de gebruiker moet opnieuw verbinding maken.
SR_CODE_REFUSED = { $provider } heeft de AuthorizationCode of een meegestuurde waarde geweigerd ({ $cause }): de gebruiker moet opnieuw verbinding maken.
SR_CODE_LOST = { $provider } gaf geen bruikbaar antwoord ({ $cause }), en de code kan verbruikt zijn. Er is niets opgeslagen; de gebruiker moet opnieuw verbinding maken.
SR_CODE_UNSAVED = { $provider } gaf tokens voor de AuthorizationCode, maar ze konden niet worden opgeslagen; de code is verbruikt en de gebruiker moet opnieuw verbinding maken.
SR_ID_TOKEN = { $provider } stuurde bij de tokens een id_token dat niet geldig is voor deze server. Er is niets opgeslagen.
SR_NO_ID_TOKEN = Nonce kan niet worden vergeleken, omdat { $provider } geen controleerbaar id_token stuurde. Er is niets opgeslagen.
SR_NONCE = Nonce is niet die van het id_token dat { $provider } stuurde. Er is niets opgeslagen.
SR_STATE = State is niet die welke deze gebruiker voor dezelfde Provider, RedirectUri, Nonce, PkceVerifier, Parameters en Key heeft gekregen, of is ouder dan tien minuten; de code is niet verstuurd.
SR_ISSUER = Issuer is niet die welke de configuratie van de server voor { $provider } bevat; de code is niet verstuurd.
SR_OTHER_USER = De gebruiker die van { $provider } terugkwam, is een andere dan degene van wie deze tokens zijn. Er is niets opgeslagen.
SR_NOTHING_TO_RECONNECT = Met Key is niets op te halen, zodat er niets is om opnieuw te verbinden.
SR_NO_AUTHORIZATION_ENDPOINT = Provider: { $provider } heeft in de configuratie van de server geen authorization_endpoint, zodat gebruikers er niet heen kunnen worden gestuurd.
SR_ONLY_OWNER_REPLACES = Alleen de eigenaar van deze tokens of een beheerder mag ze vervangen.
SR_OTHER_PROVIDER = Provider is niet die van de tokens die met Key zijn op te halen.
SR_OTHER_GENERATION = Generation is niet die van de tokens; dat is { $generation }.
SR_SCOPES = Scopes moeten namen van rechten zijn met spaties ertussen, in zichtbare ASCII-tekens zonder aanhalingstekens en backslashes.
SR_PARAMETER = Parameters moet { $name } bevatten: { $allowed }.
SR_UNKNOWN_PARAMETER = Parameters mag alleen deze namen bevatten: { $known }.

SR_LOGIN_REQUIRED = Voor deze aanroep is aanmelding nodig. WWW-Authenticate noemt de schema’s die worden geaccepteerd.
SR_LOGIN_REFUSED = De gebruikersnaam of het wachtwoord is onjuist.
SR_LOGIN_SCHEME = Het schema in Authorization wordt hier niet geaccepteerd. WWW-Authenticate noemt de schema’s die wel worden geaccepteerd.
SR_LOGIN_NOT_TEXT = De header Authorization heeft een ongeldige indeling: hij bevat bytes die geen tekst zijn.
SR_LOGIN_NOT_BASE64 = De header Authorization heeft een ongeldige indeling: de aanmeldgegevens zijn geen base64.
SR_LOGIN_CONTROL = De header Authorization heeft een ongeldige indeling: de aanmeldgegevens bevatten een besturingsteken.
SR_LOGIN_NO_COLON = De header Authorization heeft een ongeldige indeling: de aanmeldgegevens bevatten geen dubbele punt.
SR_TICKET_INVALID = Het ticket heeft een ongeldige indeling, is verlopen of is ingetrokken.
SR_TOKEN_INVALID = Het bearer-token heeft een ongeldige indeling, is verlopen of is niet voor deze server bedoeld.
SR_NO_ISSUER = Van bearer-tokens worden hier alleen toegangstokens van deze server geaccepteerd. Met auth.bearer in de serverconfiguratie geeft u een andere uitgever op.
SR_SESSION_OVER = De sessie is afgelopen. Meld u opnieuw aan.
SR_XSRF = X-XSRF-TOKEN ontbreekt of hoort niet bij de sessie.
SR_APPLICATION_REQUIRED = SO-AppToken is verplicht bij een ticket.
SR_APPLICATION_UNKNOWN = SO-AppToken hoort niet bij een geregistreerde en ingeschakelde toepassing.
SR_APPLICATION_TENANT = De toepassing is niet toegestaan voor deze tenant.
SR_OTHER_TENANT = De aanmeldgegevens horen bij een andere tenant dan die in het pad.
SR_AGENT_CLOSED = De User agent is gesloten voor deze tenant en toepassing. U opent hem met online.user_agent in de serverconfiguratie.
SR_BEARER_OFF = Bearer-tokens worden hier niet geaccepteerd. U schakelt ze in met auth.schemes.bearer in de serverconfiguratie.
SR_NO_USER = De aanroeper is geen gebruiker van deze server.
SR_OTHER_SITE = Het formulier is vanaf een andere site verzonden.
SR_ONLY_OWNER_REVOKES = Alleen de eigenaar van deze tokens of een beheerder mag ze intrekken.
SR_ONLY_OWNER_REKEYS = Alleen de eigenaar van deze tokens of een beheerder mag ze een andere sleutel geven.
# A time limit; s is the unit symbol of seconds.
SR_THROTTLED = Er zijn te veel wachtwoorden geprobeerd. Probeer het over { $limit } s opnieuw.
SR_KEYS_UNAVAILABLE = De sleutels van de uitgever van het token kunnen nu niet worden gelezen. Probeer het opnieuw.

# $index is a path, such as /api/v1.
SR_NO_SUCH_PATH = Op dit pad is niets te vinden. Zie { $index } voor de paden die er wel zijn.
# $methods is a list of HTTP methods, such as GET, HEAD.
SR_METHOD_NOT_ALLOWED = Dit pad ondersteunt alleen { $methods }.
# $types is a list of media types, such as application/json, text/xml.
SR_NOT_ACCEPTABLE = Geen van de typen in Accept is hier beschikbaar. Vraag om { $types }.
SR_ANSWER_NOT_XML = Het antwoord bevat een teken dat niet in XML kan worden weergegeven. Vraag om application/json.
# A time limit; s is the unit symbol of seconds.
SR_TOO_SLOW = De body is niet binnen { $limit } s aangekomen.
SR_BODY_TOO_LONG = De body is langer dan { $limit } bytes.
SR_CONTENT_TYPE_MISSING = Het verzoek heeft een body, maar geen Content-Type. Stuur { $types }.
SR_CONTENT_TYPE = Deze aanroep ondersteunt het opgegeven Content-Type niet. Stuur { $types }.
SR_CHARSET = De tekenset in Content-Type wordt hier niet ondersteund. Stuur utf-8, utf-16 of iso-8859-1.
# $codings is a list of compressions, such as gzip, br.
SR_CONTENT_ENCODING = De compressie in Content-Encoding wordt hier niet ondersteund. Gebruik { $codings } of geen compressie.

SR_INTERNAL = Er is iets misgegaan op de server. De oorzaak staat in het serverlogboek onder deze verzoek-ID.
SR_OVERLOADED = De server is overbelast en heeft niets opgeslagen. Probeer het opnieuw.
SR_UNAVAILABLE = De database is niet beschikbaar en heeft niets bevestigd. Probeer het opnieuw.
SR_DISK_FULL = De schijf van de database is vol of werkt niet; er is niets bevestigd. Probeer het opnieuw.
SR_DATABASE_REPLACED = Het bestand van de database is verplaatst of vervangen terwijl de server draaide; er is niets bevestigd. Neem contact op met de beheerder.
SR_KEY_MISSING = Deze server mist een hoofdsleutel. Probeer het opnieuw.
SR_KEY_USED_UP = De hoofdsleutel heeft zoveel records verzegeld als één sleutel mag; er is niets opgeslagen. De beheerder moet hem vervangen met: latchkey keys rotate.
SR_NOT_AUDITED = De server kan zijn auditlogboek niet schrijven en beantwoordt daarom geen aanroepen die gelogd moeten worden. Probeer het later opnieuw.
SR_STOPPING = De server wordt gestopt en heeft niets opgeslagen.
SR_REQUEST_ID = Verzoek-ID: { $id }

SR_DETAIL_REQUIRED = { $property } ontbreekt, is null of is leeg in de inhoud die is gelezen. Hoofdletters in namen maken niet uit.
SR_DETAIL_FOUND = De waarde is { $found }.
SR_DETAIL_LENGTH = De lengte is { $found } en de limiet is { $limit }.
SR_DETAIL_KEY_LENGTH = De tekst heeft { $found } tekens, een sleutel heeft er { $limit }.
SR_DETAIL_POSITION = Byte { $position } van de inhoud is de eerste die ongeldig is.
SR_DETAIL_CHARSET = Als de inhoud een andere tekenset heeft, noem die dan in Content-Type, zoals charset=iso-8859-1.
SR_DETAIL_TIME_ZONE = Een zone heeft een code, zoals NO of US-NY, een IANA-naam, zoals Europe/Oslo, of een Windows-naam, zoals W. Europe Standard Time.

## What a value is, in SR_WRONG_TYPE and SR_BODY_WRONG_TYPE

SR_KIND_NULL = null
SR_KIND_BOOLEAN = een booleaanse waarde
SR_KIND_NUMBER = een getal
SR_KIND_INTEGER = een geheel getal
SR_KIND_FRACTION = een getal met decimalen
SR_KIND_STRING = een string
SR_KIND_ARRAY = een array
SR_KIND_OBJECT = een object

## Why a right is limited, and hints for its holder. Whole sentences.

SR_NOT_OWNER = U bent niet de eigenaar van deze tokens.
SR_ONLY_OWNER = Alleen de eigenaar van deze tokens mag ze zien.
SR_ACCESS_MANDATORY = Dit veld is verplicht.
# $date is a date and time in the reader's culture.
SR_ACCESS_TOKEN_EXPIRES = Het toegangstoken verloopt op { $date }.
SR_ACCESS_TOKEN_EXPIRED = Het toegangstoken is verlopen op { $date }.
SR_REFRESHED_BY_SERVER = Deze server vernieuwt de tokens en houdt het vernieuwingstoken voor zichzelf.

## What each call does, in the index of the API. No full stop.

SR_SAVE_EXTERNAL_TOKENS = De tokens van een provider opslaan en de sleutel krijgen waarmee ze zijn op te halen
SR_GET_EXTERNAL_TOKENS = De tokens ophalen die bij een sleutel horen
SR_AUTHORIZE = De URL krijgen waar een gebruiker toestemming geeft, en wat daarbij hoort
SR_EXCHANGE_CODE = Een autorisatiecode inwisselen voor tokens, die opslaan en de sleutel krijgen waarmee ze zijn op te halen
SR_LIST_EXTERNAL_TOKENS = Opgeslagen tokens weergeven, zonder de tokens zelf
SR_DESCRIBE_EXTERNAL_TOKENS = Opgeslagen tokens beschrijven, zonder de tokens zelf
SR_REVOKE_EXTERNAL_TOKENS = Opgeslagen tokens meteen en voorgoed vernietigen
SR_REFRESH_EXTERNAL_TOKENS = Opgeslagen tokens vernieuwen en ophalen
SR_REVOKE_GRANT = De toestemming achter opgeslagen tokens bij de provider intrekken en de tokens vernietigen
SR_INTROSPECT_EXTERNAL_TOKENS = De provider vragen of een opgeslagen toegangstoken werkt
SR_REKEY_EXTERNAL_TOKENS = Opgeslagen tokens een andere sleutel geven en de huidige beëindigen
SR_EXCHANGE_TOKEN = Een sleutel inwisselen voor een toegangstoken, zoals OAuth-clients doen
SR_REPLACE_EXTERNAL_TOKENS = Andere tokens onder een bestaande sleutel opslaan
SR_CURRENT_PRINCIPAL = Wie de aanroep doet
SR_CURRENT_TOKEN = Een toegangstoken voor het schema Bearer
SR_SIGN_IN_PAGE = Het aanmeldformulier
SR_SIGN_IN = Aanmelden
SR_SIGN_OUT = Afmelden
SR_ACCOUNT_PAGE = Wie is aangemeld, en de tickets
SR_NEW_TICKET = Nieuw ticket
SR_REVOKE_TICKET = Het ticket intrekken
SR_DESCRIBE = Deze aanroep beschrijven zonder hem uit te voeren
SR_API_VERSIONS = De versies van de API en van deze server
SR_API_ROUTES = Alle beschikbare paden en wat elke methode doet
SR_OPENAPI = Het OpenAPI-document
SR_API_VIEWER = Het OpenAPI-document, om te lezen en uit te proberen
SR_HEALTH = Of het proces antwoordt
SR_READINESS = Of de database en de sleutels bruikbaar zijn

## Headings of the pages that describe the API

SR_REQUEST = Verzoek
SR_ANSWER = Antwoord

## The pages to sign in and of the account. Labels.

SR_API = API
SR_ACCOUNT = Account
SR_LOGIN_NAME = Gebruikersnaam
SR_PASSWORD = Wachtwoord
SR_TENANT = Tenant
SR_TICKETS = Tickets
SR_TICKET_SHOWN_ONCE = Dit is het ticket. Het wordt alleen nu getoond.
SR_ID = ID
SR_CREATED = Gemaakt
SR_EXPIRES = Verloopt
