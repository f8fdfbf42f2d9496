# Latchkey's texts for people, in Norwegian Bokmål. See en.ftl.

## Requests that cannot be served. Whole sentences.

SR_REQUIRED = { $property } må oppgis.
SR_EITHER_REQUIRED = { $property } eller { $other } må oppgis.
SR_NOT_BOTH = Oppgi { $property } eller { $other }, ikke begge.
SR_TOO_MANY_CHARACTERS = { $property } er lengre enn { $limit } tegn.
SR_NUL_CHARACTER = { $property } kan ikke inneholde tegnet U+0000.
SR_TOO_MANY_BYTES = { $property } er lengre enn { $limit } byte.
SR_RANGE = { $property } må være fra { $from } til { $to }.
# $expected and $found are SR_KIND_… below.
SR_WRONG_TYPE = { $property } må være { $expected }, ikke { $found }.
SR_BODY_WRONG_TYPE = Innholdet i forespørselen må være { $expected }, ikke { $found }.
SR_KEY_SHAPE = { $property } er ikke en nøkkel fra denne serveren: En nøkkel består av `lk_` og 60 bokstaver og sifre.
SR_KEY_CHECKSUM = { $property } er skrevet feil: Kontrollsummen stemmer ikke.
SR_ID_SHAPE = Id er ikke id-en til en post: En id består av 11 bokstaver og sifre.
SR_OWNER = Owner er ikke et brukernavn.
SR_CURSOR = Cursor er ikke en verdi som List har svart med.
SR_MANY_HEADERS = Headeren { $header } forekommer mer enn én gang.
SR_NO_HOST = Forespørselen oppgir ingen gyldig vert: en vert er et navn eller en adresse, med eller uten port.
SR_OTHER_HOST = Forespørselen oppgir en vert som denne serveren ikke har. Den legges til med server.hosts i serverens konfigurasjon.
SR_BODY_BROKE_OFF = Overføringen av innholdet i forespørselen ble avbrutt.
SR_BAD_REQUEST = Forespørselen kan ikke leses.

# $charset is a charset's name, such as utf-8.
SR_NOT_TEXT = Innholdet i forespørselen er ikke gyldig { $charset }.
# $coding is a compression's name, such as gzip.
SR_NOT_COMPRESSED = Innholdet i forespørselen er ikke riktig komprimert med { $coding }.
SR_TOO_MANY_PARTS = Innholdet i forespørselen er komprimert i for mange deler.
SR_NOT_JSON = Innholdet i forespørselen er ikke gyldig JSON (linje { $line }, kolonne { $column }).
SR_NOT_XML = Innholdet i forespørselen er ikke gyldig XML (byte { $position }).
SR_XML_MIXED = XML-en har tekst ved siden av elementer, eller innhold i et nil-element (byte { $position }).
SR_XML_ENTITY = XML-en har en entitet som ikke er en av XMLs egne fem (byte { $position }).
SR_XML_ENCODING = XML-deklarasjonen angir en tegnkoding som ikke støttes her.
SR_DOCUMENT_TYPE = Innholdet i forespørselen har en dokumenttypedeklarasjon, og det støttes ikke her.
SR_SENT_AS_FORM = Innholdet er { $format }, men Content-Type sier at det er et skjema, slik noen klienter gjør av seg selv. Send Content-Type: { $type }.
SR_TOO_DEEP = Innholdet i forespørselen er nøstet i mer enn { $limit } nivåer.
SR_TOO_MANY = Innholdet i forespørselen har mer enn { $limit } verdier.
# $number counts the operations of a JSON Patch from 1.
SR_PATCH_OPERATION = Operasjon { $number } i patchen er ikke gyldig.
SR_PATCH_FAILED = Operasjon { $number } i patchen kan ikke utføres: En test feiler, eller et overordnet element eller en verdi mangler. Den første operasjonen begynner med en tom forespørsel.
SR_PATCH_TOO_LARGE = Patchen har mer enn { $limit } operasjoner eller kopierer for mye.

SR_TIME_ZONE = SO-TimeZone må være en kjent tidssone, for eksempel NO, US-NY eller Europe/Oslo.
SR_IDEMPOTENCY_KEY = Idempotency-Key må ha 16 til 255 synlige ASCII-tegn, uten mellomrom; anførselstegn rundt dem er tillatt.
SR_IDEMPOTENCY_KEY_USED = Denne Idempotency-Key er brukt til å lagre noe annet i løpet av de siste 24 timene; send en annen for en annen lagring.
SR_QUOTA_RECORDS = Denne brukeren har { $limit } poster, som er det meste den kan ha (records.per_user); den kan lagre igjen når noen er avsluttet og fjernet.
SR_QUOTA_IDEMPOTENCY_KEYS = Denne brukeren har sendt { $limit } verdier av Idempotency-Key på 24 timer, som er det meste den kan (limits.idempotency_keys_per_user).
SR_GRANT_DEAD = Tilgangen hos { $provider } er død ({ $cause }): brukeren må koble til på nytt.
SR_GRANT_FAILING = Ingen ny token fra { $provider } er tilgjengelig nå ({ $cause }). Prøv igjen.
SR_GRANT_BLOCKED = { $provider } godtar ikke denne serveren som klient ({ $cause }); administratoren må rette grants.providers.
SR_GRANTS_PAUSED = Fornyelser er satt på pause, som i en kopi av en database; administratoren gjenopptar dem med: latchkey grants resume.
SR_GRANT_BUSY = Fornyelsen tar for lang tid, eller for mange er i gang. Prøv igjen.
SR_GRANT_UNSAVED = Nye tokener har kommet og venter på databasen. Prøv igjen.
SR_REFRESHES_LIMIT = Det ble bedt om for mange fornyelser eller innløsninger. Prøv igjen om { $limit } sekunder.
SR_REPEATED = { $property } forekommer mer enn én gang.
SR_MUST_BE = { $property } må være { $expected }.
SR_NOT_SUPPORTED = { $property } støttes ikke.
SR_SUBJECT_TOKEN = subject_token henter ingenting: Nøkkelen er ukjent, eller posten er avsluttet.
SR_SCOPE = scope ber om mer enn det leverandøren er kjent for å ha gitt.
SR_NO_LIVING_TOKEN = Det finnes ikke noe gyldig tilgangstoken, og denne serveren fornyer det ikke.
SR_NO_INTROSPECTION = { $provider } har ikke noe introspection-endepunkt for denne leietakeren: Introspect krever en leverandør med et slikt endepunkt i grants.providers i serverens konfigurasjon.
SR_PROVIDER = Provider er ikke konfigurert for denne leietakeren. Send det nøyaktige navnet på en leverandør i grants.providers i serverens konfigurasjon.
SR_REDIRECT_URI = RedirectUri finnes ikke i redirect_uris for { $provider } i serverens konfigurasjon.
SR_PKCE_VERIFIER = PkceVerifier er ikke en PKCE-verifier: den har 43 til 128 bokstaver, sifre, bindestreker, punktum, understreker og tilder.
SR_CODE_SENT = Denne AuthorizationCode er allerede sendt til { $provider }, og ingen kode sendes to ganger: brukeren må koble til på nytt.
SR_CODE_REFUSED = { $provider } avviste AuthorizationCode eller det som fulgte med ({ $cause }): brukeren må koble til på nytt.
SR_CODE_LOST = { $provider } ga ikke noe brukbart svar ({ $cause }), og koden kan være brukt opp. Ingenting er lagret, og brukeren må koble til på nytt.
SR_CODE_UNSAVED = { $provider } ga tokener for AuthorizationCode, men de kunne ikke lagres; koden er brukt, og brukeren må koble til på nytt.
SR_ID_TOKEN = { $provider } sendte sammen med tokenene et id_token som ikke gjelder for denne serveren. Ingenting er lagret.
SR_NO_ID_TOKEN = Nonce kan ikke sammenlignes fordi { $provider } ikke sendte et id_token som kan kontrolleres. Ingenting er lagret.
SR_NONCE = Nonce er ikke den som står i det id_token som { $provider } sendte. Ingenting er lagret.
SR_STATE = State er ikke den som ble gitt denne brukeren for samme Provider, RedirectUri, Nonce, PkceVerifier, Parameters og Key, eller den er eldre enn ti minutter; koden ble ikke sendt.
SR_ISSUER = Issuer er ikke den som serverens konfigurasjon har for { $provider }; koden ble ikke sendt.
SR_OTHER_USER = Brukeren som kom tilbake fra { $provider }, er en annen enn den som disse tokenene tilhører; ingenting er lagret.
SR_NOTHING_TO_RECONNECT = Key henter ingenting, så det er ingenting å koble til på nytt.
SR_NO_AUTHORIZATION_ENDPOINT = Provider: { $provider } har ingen authorization_endpoint i serverens konfigurasjon, så brukere kan ikke sendes dit.
SR_ONLY_OWNER_REPLACES = Bare eieren av disse tokenene eller en administrator kan erstatte dem.
SR_OTHER_PROVIDER = Provider er ikke den som tokenene Key henter, kommer fra.
SR_OTHER_GENERATION = Generation er ikke den som tokenene har, som er { $generation }.
SR_SCOPES = Scopes må være navn på rettigheter med mellomrom mellom, i synlige ASCII-tegn uten anførselstegn og omvendt skråstrek.
SR_PARAMETER = Parameters må ha { $name }: { $allowed }.
SR_UNKNOWN_PARAMETER = Parameters kan bare ha disse navnene: { $known }.

SR_LOGIN_REQUIRED = Dette kallet krever innlogging. WWW-Authenticate viser hvilke autentiseringsmetoder som godtas.
SR_LOGIN_REFUSED = Brukernavnet eller passordet er feil.
SR_LOGIN_SCHEME = Autentiseringsmetoden i Authorization godtas ikke her. WWW-Authenticate viser hvilke som godtas.
SR_LOGIN_NOT_TEXT = Headeren Authorization er feil utformet: Den inneholder byte som ikke er tekst.
SR_LOGIN_NOT_BASE64 = Headeren Authorization er feil utformet: Innloggingsopplysningene er ikke base64.
SR_LOGIN_CONTROL = Headeren Authorization er feil utformet: Innloggingsopplysningene inneholder et kontrolltegn.
SR_LOGIN_NO_COLON = Headeren Authorization er feil utformet: Innloggingsopplysningene mangler kolon.
SR_TICKET_INVALID = Innloggingsbilletten er feil utformet, utløpt eller tilbakekalt.
SR_TOKEN_INVALID = Bearer-tokenet er feil utformet, utløpt eller ikke beregnet på denne serveren.
SR_NO_ISSUER = Av bearer-tokener godtas her bare tilgangstokener fra denne serveren. Med auth.bearer i serverens konfigurasjon kan en annen utsteder angis.
SR_SESSION_OVER = Økten er avsluttet. Logg inn på nytt.
SR_XSRF = X-XSRF-TOKEN mangler eller tilhører ikke økten.
SR_APPLICATION_REQUIRED = SO-AppToken må oppgis sammen med en innloggingsbillett.
SR_APPLICATION_UNKNOWN = SO-AppToken tilhører ikke en registrert og aktivert applikasjon.
SR_APPLICATION_TENANT = Applikasjonen er ikke tillatt for denne leietakeren.
SR_OTHER_TENANT = Innloggingsopplysningene tilhører en annen leietaker enn den i stien.
SR_AGENT_CLOSED = User agent er stengt for denne leietakeren og applikasjonen. Den åpnes med online.user_agent i serverens konfigurasjon.
SR_BEARER_OFF = Bearer-tokener godtas ikke her. De slås på med auth.schemes.bearer i serverens konfigurasjon.
SR_NO_USER = Den som kaller, er ikke bruker på denne serveren.
SR_OTHER_SITE = Skjemaet ble sendt fra et annet nettsted.
SR_ONLY_OWNER_REVOKES = Bare eieren av disse tokenene eller en administrator kan tilbakekalle dem.
SR_ONLY_OWNER_REKEYS = Bare eieren av disse tokenene eller en administrator kan gi dem en annen nøkkel.
# A time limit; s is the unit symbol of seconds.
SR_THROTTLED = For mange passord er prøvd. Prøv igjen om { $limit } s.
SR_KEYS_UNAVAILABLE = Nøklene til tokenets utsteder kan ikke leses nå. Prøv igjen.

# $index is a path, such as /api/v1.
SR_NO_SUCH_PATH = Det finnes ingenting på denne stien. Se { $index } for stiene som finnes.
# $methods is a list of HTTP methods, such as GET, HEAD.
SR_METHOD_NOT_ALLOWED = Denne stien støtter bare { $methods }.
# $types is a list of media types, such as application/json, text/xml.
SR_NOT_ACCEPTABLE = Ingen av typene i Accept er tilgjengelige her. Be om { $types }.
SR_ANSWER_NOT_XML = Svaret inneholder et tegn som ikke kan gjengis i XML. Be om application/json.
# A time limit; s is the unit symbol of seconds.
SR_TOO_SLOW = Innholdet i forespørselen kom ikke fram i løpet av { $limit } s.
SR_BODY_TOO_LONG = Innholdet i forespørselen er lengre enn { $limit } byte.
SR_CONTENT_TYPE_MISSING = Forespørselen har innhold, men mangler Content-Type. Send { $types }.
SR_CONTENT_TYPE = Dette kallet støtter ikke typen i Content-Type. Send { $types }.
SR_CHARSET = Tegnsettet i Content-Type støttes ikke her. Send utf-8, utf-16 eller iso-8859-1.
# $codings is a list of compressions, such as gzip, br.
SR_CONTENT_ENCODING = Komprimeringen i Content-Encoding støttes ikke her. Bruk { $codings } eller ingen komprimering.

SR_INTERNAL = Noe gikk galt på serveren. Årsaken står i serverloggen under denne forespørsels-ID-en.
SR_OVERLOADED = Serveren er overbelastet og har ikke lagret noe. Prøv igjen.
SR_UNAVAILABLE = Databasen er utilgjengelig og har ikke bekreftet noe. Prøv igjen.
SR_DISK_FULL = Databasens disk er full eller virker ikke; ingenting er bekreftet. Prøv igjen.
SR_DATABASE_REPLACED = Databasens fil ble flyttet eller byttet ut mens serveren kjørte; ingenting er bekreftet. Kontakt administratoren.
SR_KEY_MISSING = Denne serveren mangler en hovednøkkel. Prøv igjen.
SR_KEY_USED_UP = Hovednøkkelen har forseglet så mange poster som én nøkkel kan, og ingenting er lagret. Administratoren må bytte den med: latchkey keys rotate.
SR_NOT_AUDITED = Serveren kan ikke skrive revisjonsloggen, og besvarer derfor ingen kall som må logges. Prøv igjen senere.
SR_STOPPING = Serveren er i ferd med å stoppe og har ikke lagret noe.
SR_REQUEST_ID = Forespørsels-ID: { $id }

SR_DETAIL_REQUIRED = { $property } mangler, er null eller er tom i innholdet som ble lest. Navn leses uavhengig av store og små bokstaver.
SR_DETAIL_FOUND = Verdien er { $found }.
SR_DETAIL_LENGTH = Lengden er { $found }, og grensen er { $limit }.
SR_DETAIL_KEY_LENGTH = Teksten har { $found } tegn, en nøkkel har { $limit }.
SR_DETAIL_POSITION = Byte { $position } i innholdet er den første som er ugyldig.
SR_DETAIL_CHARSET = Hvis innholdet er i et annet tegnsett, må det angis i Content-Type, for eksempel charset=iso-8859-1.
SR_DETAIL_TIME_ZONE = En sone har en kode, som NO eller US-NY, et IANA-navn, som Europe/Oslo, eller et Windows-navn, som W. Europe Standard Time.

## What a value is, in SR_WRONG_TYPE and SR_BODY_WRONG_TYPE

SR_KIND_NULL = null
SR_KIND_BOOLEAN = en boolsk verdi
SR_KIND_NUMBER = et tall
SR_KIND_INTEGER = et heltall
SR_KIND_FRACTION = et tall med desimaler
SR_KIND_STRING = en streng
SR_KIND_ARRAY = en liste
SR_KIND_OBJECT = et objekt

## Why a right is limited, and hints for its holder. Whole sentences.

SR_NOT_OWNER = Du eier ikke disse tokenene.
SR_ONLY_OWNER = Bare eieren av disse tokenene kan se dem.
SR_ACCESS_MANDATORY = Dette feltet er obligatorisk.
# $date is a date and time in the reader's culture.
SR_ACCESS_TOKEN_EXPIRES = Tilgangstokenet utløper { $date }.
SR_ACCESS_TOKEN_EXPIRED = Tilgangstokenet utløp { $date }.
SR_REFRESHED_BY_SERVER = Denne serveren fornyer tokenene og beholder fornyelsestokenet selv.

## What each call does, in the index of the API. No full stop.

SR_SAVE_EXTERNAL_TOKENS = Lagre tokenene fra en leverandør og få nøkkelen som henter dem fram igjen
SR_GET_EXTERNAL_TOKENS = Hent tokenene som hører til en nøkkel
SR_AUTHORIZE = Få URL-en der en bruker gir sitt samtykke, og det som hører til
SR_EXCHANGE_CODE = Løs inn en autorisasjonskode i tokener, lagre dem og få nøkkelen som henter dem fram igjen
SR_LIST_EXTERNAL_TOKENS = List opp lagrede tokener, uten selve tokenene
SR_DESCRIBE_EXTERNAL_TOKENS = Beskriv lagrede tokener, uten selve tokenene
SR_REVOKE_EXTERNAL_TOKENS = Slett lagrede tokener straks og for godt
SR_REFRESH_EXTERNAL_TOKENS = Forny lagrede tokener og hent dem
SR_REVOKE_GRANT = Trekk tilbake tilgangen bak lagrede tokener hos leverandøren, og slett dem
SR_INTROSPECT_EXTERNAL_TOKENS = Spør leverandøren om et lagret tilgangstoken virker
SR_REKEY_EXTERNAL_TOKENS = Gi lagrede tokener en annen nøkkel, og avslutt den de har
SR_EXCHANGE_TOKEN = Bytt en nøkkel mot et tilgangstoken, slik OAuth-klienter gjør
SR_REPLACE_EXTERNAL_TOKENS = Legg andre tokener under en nøkkel som finnes
SR_CURRENT_PRINCIPAL = Hvem som kaller
SR_CURRENT_TOKEN = Et tilgangstoken for autentisering med Bearer
SR_SIGN_IN_PAGE = Innloggingsskjemaet
SR_SIGN_IN = Logg inn
SR_SIGN_OUT = Logg ut
SR_ACCOUNT_PAGE = Hvem som er logget inn, og innloggingsbillettene
SR_NEW_TICKET = Ny innloggingsbillett
SR_REVOKE_TICKET = Tilbakekall innloggingsbilletten
SR_DESCRIBE = Beskriv dette kallet uten å utføre det
SR_API_VERSIONS = Versjonene av API-et og av denne serveren
SR_API_ROUTES = Alle stier som finnes, og hva hver metode gjør
SR_OPENAPI = OpenAPI-dokumentet
SR_API_VIEWER = OpenAPI-dokumentet, til å lese og prøve ut
SR_HEALTH = Om prosessen svarer
SR_READINESS = Om databasen og nøklene kan brukes

## Headings of the pages that describe the API

SR_REQUEST = Forespørsel
SR_ANSWER = Svar

## The pages to sign in and of the account. Labels.

SR_API = API
SR_ACCOUNT = Konto
SR_LOGIN_NAME = Brukernavn
SR_PASSWORD = Passord
SR_TENANT = Leietaker
SR_TICKETS = Innloggingsbilletter
SR_TICKET_SHOWN_ONCE = Dette er innloggingsbilletten. Den vises bare nå.
SR_ID = ID
SR_CREATED = Opprettet
SR_EXPIRES = Utløper
