# Latchkey's texts for people, in Danish. See en.ftl.

## Requests that cannot be served. Whole sentences.

SR_REQUIRED = { $property } skal angives.
SR_EITHER_REQUIRED = { $property } eller { $other } skal angives.
SR_NOT_BOTH = Angiv { $property } eller { $other }, ikke begge.
SR_TOO_MANY_CHARACTERS = { $property } er længere end { $limit } tegn.
SR_NUL_CHARACTER = { $property } må ikke indeholde tegnet U+0000.
SR_TOO_MANY_BYTES = { $property } er længere end { $limit } bytes.
SR_RANGE = { $property } skal være fra { $from } til { $to }.
# $expected and $found are SR_KIND_… below.
SR_WRONG_TYPE = { $property } skal være { $expected }, ikke { $found }.
SR_BODY_WRONG_TYPE = Indholdet af anmodningen skal være { $expected }, ikke { $found }.
SR_KEY_SHAPE = { $property } er ikke en nøgle fra denne server: en nøgle består af `lk_` og 60 bogstaver og cifre.
SR_KEY_CHECKSUM = { $property } er skrevet forkert: kontrolsummen passer ikke.
SR_ID_SHAPE = Id er ikke id'et på en post: et id består af 11 bogstaver og cifre.
SR_OWNER = Owner er ikke et brugernavn.
SR_CURSOR = Cursor er ikke en værdi, som List har svaret med.
SR_MANY_HEADERS = Headeren { $header } forekommer mere end én gang.
SR_NO_HOST = Anmodningen angiver ingen gyldig vært: en vært er et navn eller en adresse, med eller uden port.
SR_OTHER_HOST = Anmodningen angiver en vært, som denne server ikke har. Den tilføjes med server.hosts i serverens konfiguration.
SR_BODY_BROKE_OFF = Overførslen af anmodningens indhold blev afbrudt.
SR_BAD_REQUEST = Anmodningen kan ikke læses.

# $charset is a charset's name, such as utf-8.
SR_NOT_TEXT = Indholdet af anmodningen er ikke gyldig { $charset }.
# $coding is a compression's name, such as gzip.
SR_NOT_COMPRESSED = Indholdet af anmodningen er ikke korrekt komprimeret med { $coding }.
SR_TOO_MANY_PARTS = Indholdet af anmodningen er komprimeret i for mange dele.
SR_NOT_JSON = Indholdet af anmodningen er ikke gyldig JSON (linje { $line }, kolonne { $column }).
SR_NOT_XML = Indholdet af anmodningen er ikke gyldig XML (byte { $position }).
SR_XML_MIXED = XML-indholdet har tekst ved siden af elementer, eller indhold i et nil-element (byte { $position }).
SR_XML_ENTITY = XML-indholdet har en entitet, som ikke er en af XML's egne fem (byte { $position }).
SR_XML_ENCODING = XML-erklæringen angiver en tegnkodning, der ikke understøttes her.
SR_DOCUMENT_TYPE = Indholdet af anmodningen har en dokumenttypeerklæring, hvilket ikke understøttes her.
SR_SENT_AS_FORM = Indholdet er { $format }, men Content-Type siger, at det er en formular, hvilket nogle klienter gør af sig selv. Send Content-Type: { $type }.
SR_TOO_DEEP = Indholdet af anmodningen er indlejret i mere end { $limit } niveauer.
SR_TOO_MANY = Indholdet af anmodningen har mere end { $limit } værdier.
# $number counts the operations of a JSON Patch from 1.
SR_PATCH_OPERATION = Operation { $number } i patchen er ikke gyldig.
SR_PATCH_FAILED = Operation { $number } i patchen kan ikke udføres: En test mislykkes, eller et overordnet element eller en værdi mangler. Den første operation begynder med en tom anmodning.
SR_PATCH_TOO_LARGE = Patchen har mere end { $limit } operationer eller kopierer for meget.

SR_TIME_ZONE = SO-TimeZone skal være en kendt tidszone, f.eks. NO, US-NY eller Europe/Oslo.
SR_IDEMPOTENCY_KEY = Idempotency-Key skal have 16 til 255 synlige ASCII-tegn uden mellemrum; anførselstegn omkring dem er tilladt.
SR_IDEMPOTENCY_KEY_USED = Denne Idempotency-Key er inden for de seneste 24 timer brugt til at gemme noget andet; send en anden, når noget andet skal gemmes.
SR_QUOTA_RECORDS = Denne bruger har { $limit } poster, som er det højst tilladte (records.per_user); den kan gemme igen, når nogle er afsluttet og fjernet.
SR_QUOTA_IDEMPOTENCY_KEYS = Denne bruger har sendt { $limit } værdier af Idempotency-Key inden for 24 timer, som er det højst tilladte (limits.idempotency_keys_per_user).
SR_GRANT_DEAD = Adgangen hos { $provider } er død ({ $cause }): brugeren skal oprette forbindelse igen.
SR_GRANT_FAILING = Der kan ikke fås et nyt token fra { $provider } nu ({ $cause }). Prøv igen.
SR_GRANT_BLOCKED = { $provider } accepterer ikke denne server som klient ({ $cause }); administratoren skal rette grants.providers.
SR_GRANTS_PAUSED = Fornyelser er sat på pause, som i en kopi af en database; administratoren genoptager dem med: latchkey grants resume.
SR_GRANT_BUSY = Fornyelsen tager for lang tid, eller der er for mange i gang. Prøv igen.
SR_GRANT_UNSAVED = Nye tokens er ankommet og venter på databasen. Prøv igen.
SR_REFRESHES_LIMIT = Der blev bedt om for mange fornyelser eller ombytninger. Prøv igen om { $limit } sekunder.
SR_REPEATED = { $property } forekommer mere end én gang.
SR_MUST_BE = { $property } skal være { $expected }.
SR_NOT_SUPPORTED = { $property } understøttes ikke.
SR_SUBJECT_TOKEN = subject_token henter intet: nøglen er ukendt, eller dens post er afsluttet.
SR_SCOPE = scope beder om mere, end udbyderen vides at have tildelt.
SR_NO_LIVING_TOKEN = Der er intet gyldigt adgangstoken, og denne server fornyer det ikke.
SR_NO_INTROSPECTION = { $provider } har intet introspection-endpoint for denne lejer: Introspect kræver en udbyder med et sådant endpoint i grants.providers i serverens konfiguration.
SR_PROVIDER = Provider er ikke konfigureret for denne lejer. Send det nøjagtige navn på en udbyder i grants.providers i serverens konfiguration.
SR_REDIRECT_URI = RedirectUri findes ikke i redirect_uris for { $provider } i serverens konfiguration.
SR_PKCE_VERIFIER = PkceVerifier er ikke en PKCE-verifier: den har 43 til 128 bogstaver, cifre, bindestreger, punktummer, understreger og tilder.
SR_CODE_SENT = Denne AuthorizationCode er allerede sendt til { $provider }, og ingen kode sendes to gange: brugeren skal oprette forbindelse igen.
SR_CODE_REFUSED = { $provider } afviste AuthorizationCode eller det, der fulgte med ({ $cause }): brugeren skal oprette forbindelse igen.
SR_CODE_LOST = { $provider } gav intet brugbart svar ({ $cause }), og koden kan være opbrugt. Intet er gemt, og brugeren skal oprette forbindelse igen.
SR_CODE_UNSAVED = { $provider } gav tokens for AuthorizationCode, men de kunne ikke gemmes; koden er brugt, og brugeren skal oprette forbindelse igen.
SR_ID_TOKEN = { $provider } sendte sammen med tokens et id_token, som ikke gælder for denne server. Intet er gemt.
SR_NO_ID_TOKEN = Nonce kan ikke sammenlignes, fordi { $provider } ikke sendte et id_token, der kan kontrolleres. Intet er gemt.
SR_NONCE = Nonce er ikke den, som står i det id_token, { $provider } sendte. Intet er gemt.
SR_STATE = State er ikke den, som denne bruger fik for samme Provider, RedirectUri, Nonce, PkceVerifier, Parameters og Key, eller den er ældre end ti minutter; koden blev ikke sendt.
SR_ISSUER = Issuer er ikke den, som serverens konfiguration har for { $provider }; koden blev ikke sendt.
SR_OTHER_USER = Brugeren, der kom tilbage fra { $provider }, er en anden end den, disse tokens tilhører; intet er gemt.
SR_NOTHING_TO_RECONNECT = Key henter intet, så der er intet at oprette forbindelse til igen.
SR_NO_AUTHORIZATION_ENDPOINT = Provider: { $provider } har ingen authorization_endpoint i serverens konfiguration, så brugere kan ikke sendes dertil.
SR_ONLY_OWNER_REPLACES = Kun ejeren af disse tokens eller en administrator må erstatte dem.
SR_OTHER_PROVIDER = Provider er ikke den, som de tokens, Key henter, kommer fra.
SR_OTHER_GENERATION = Generation er ikke den, som disse tokens har, som er { $generation }.
SR_SCOPES = Scopes skal være navne på rettigheder med mellemrum imellem, i synlige ASCII-tegn uden anførselstegn og omvendt skråstreg.
SR_PARAMETER = Parameters skal have { $name }: { $allowed }.
SR_UNKNOWN_PARAMETER = Parameters må kun have disse navne: { $known }.

SR_LOGIN_REQUIRED = Dette kald kræver login. WWW-Authenticate viser, hvilke autentificeringsmetoder der accepteres.
SR_LOGIN_REFUSED = Brugernavnet eller adgangskoden er forkert.
SR_LOGIN_SCHEME = Autentificeringsmetoden i Authorization accepteres ikke her. WWW-Authenticate viser, hvilke der accepteres.
SR_LOGIN_NOT_TEXT = Headeren Authorization har forkert format: den indeholder bytes, der ikke er tekst.
SR_LOGIN_NOT_BASE64 = Headeren Authorization har forkert format: loginoplysningerne er ikke base64.
SR_LOGIN_CONTROL = Headeren Authorization har forkert format: loginoplysningerne indeholder et kontroltegn.
SR_LOGIN_NO_COLON = Headeren Authorization har forkert format: loginoplysningerne mangler et kolon.
SR_TICKET_INVALID = Loginbilletten har forkert format, er udløbet eller er tilbagekaldt.
SR_TOKEN_INVALID = Bearer-tokenet har forkert format, er udløbet eller er ikke beregnet til denne server.
SR_NO_ISSUER = Af bearer-tokens accepteres her kun adgangstokens fra denne server. Med auth.bearer i serverens konfiguration kan en anden udsteder angives.
SR_SESSION_OVER = Sessionen er afsluttet. Log ind igen.
SR_XSRF = X-XSRF-TOKEN mangler eller hører ikke til sessionen.
SR_APPLICATION_REQUIRED = SO-AppToken skal angives sammen med en loginbillet.
SR_APPLICATION_UNKNOWN = SO-AppToken hører ikke til en registreret og aktiveret applikation.
SR_APPLICATION_TENANT = Applikationen er ikke tilladt for denne lejer.
SR_OTHER_TENANT = Loginoplysningerne hører til en anden lejer end den i stien.
SR_AGENT_CLOSED = User agent er lukket for denne lejer og applikation. Den åbnes med online.user_agent i serverens konfiguration.
SR_BEARER_OFF = Bearer-tokens accepteres ikke her. De slås til med auth.schemes.bearer i serverens konfiguration.
SR_NO_USER = Den, der kalder, er ikke bruger på denne server.
SR_OTHER_SITE = Formularen blev sendt fra et andet websted.
SR_ONLY_OWNER_REVOKES = Kun ejeren af disse tokens eller en administrator må tilbagekalde dem.
SR_ONLY_OWNER_REKEYS = Kun ejeren af disse tokens eller en administrator må give dem en anden nøgle.
# A time limit; s is the unit symbol of seconds.
SR_THROTTLED = Der er prøvet for mange adgangskoder. Prøv igen om { $limit } s.
SR_KEYS_UNAVAILABLE = Nøglerne fra tokenets udsteder kan ikke læses lige nu. Prøv igen.

# $index is a path, such as /api/v1.
SR_NO_SUCH_PATH = Der findes ikke noget på denne sti. Se { $index } for de stier, der findes.
# $methods is a list of HTTP methods, such as GET, HEAD.
SR_METHOD_NOT_ALLOWED = Denne sti understøtter kun { $methods }.
# $types is a list of media types, such as application/json, text/xml.
SR_NOT_ACCEPTABLE = Ingen af typerne i Accept er tilgængelige her. Bed om { $types }.
SR_ANSWER_NOT_XML = Svaret indeholder et tegn, der ikke kan gengives i XML. Bed om application/json.
# A time limit; s is the unit symbol of seconds.
SR_TOO_SLOW = Indholdet af anmodningen nåede ikke frem inden for { $limit } s.
SR_BODY_TOO_LONG = Indholdet af anmodningen er længere end { $limit } bytes.
SR_CONTENT_TYPE_MISSING = Anmodningen har indhold, men mangler Content-Type. Send { $types }.
SR_CONTENT_TYPE = Dette kald understøtter ikke typen i Content-Type. Send { $types }.
SR_CHARSET = Tegnsættet i Content-Type understøttes ikke her. Send utf-8, utf-16 eller iso-8859-1.
# $codings is a list of compressions, such as gzip, br.
SR_CONTENT_ENCODING = Komprimeringen i Content-Encoding understøttes ikke her. Brug { $codings } eller ingen komprimering.

SR_INTERNAL = Noget gik galt på serveren. Årsagen står i serverens log under dette anmodnings-id.
SR_OVERLOADED = Serveren er overbelastet og har ikke gemt noget. Prøv igen.
SR_UNAVAILABLE = Databasen er ikke tilgængelig og har ikke bekræftet noget. Prøv igen.
SR_DISK_FULL = Databasens disk er fuld eller virker ikke; intet er bekræftet. Prøv igen.
SR_DATABASE_REPLACED = Databasens fil er flyttet eller udskiftet, mens serveren kørte; intet er bekræftet. Kontakt administratoren.
SR_KEY_MISSING = Denne server mangler en hovednøgle. Prøv igen.
SR_KEY_USED_UP = Hovednøglen har forseglet så mange poster, som én nøgle må, og intet er gemt. Administratoren skal udskifte den med: latchkey keys rotate.
SR_NOT_AUDITED = Serveren kan ikke skrive sin revisionslog og besvarer derfor ingen kald, der skal logges. Prøv igen senere.
SR_STOPPING = Serveren er ved at lukke ned og har ikke gemt noget.
SR_REQUEST_ID = Anmodnings-id: { $id }

SR_DETAIL_REQUIRED = { $property } mangler, er null eller er tom i det indhold, der blev læst. Navne læses uafhængigt af store og små bogstaver.
SR_DETAIL_FOUND = Værdien er { $found }.
SR_DETAIL_LENGTH = Længden er { $found }, og grænsen er { $limit }.
SR_DETAIL_KEY_LENGTH = Teksten har { $found } tegn, en nøgle har { $limit }.
SR_DETAIL_POSITION = Byte { $position } i indholdet er den første, der er ugyldig.
SR_DETAIL_CHARSET = Hvis indholdet har et andet tegnsæt, skal det angives i Content-Type, f.eks. charset=iso-8859-1.
SR_DETAIL_TIME_ZONE = En zone har en kode, f.eks. NO eller US-NY, et IANA-navn, f.eks. Europe/Oslo, eller et Windows-navn, f.eks. W. Europe Standard Time.

## What a value is, in SR_WRONG_TYPE and SR_BODY_WRONG_TYPE

SR_KIND_NULL = null
SR_KIND_BOOLEAN = en boolesk værdi
SR_KIND_NUMBER = et tal
SR_KIND_INTEGER = et heltal
SR_KIND_FRACTION = et tal med decimaler
SR_KIND_STRING = en streng
SR_KIND_ARRAY = et array
SR_KIND_OBJECT = et objekt

## Why a right is limited, and hints for its holder. Whole sentences.

SR_NOT_OWNER = Du ejer ikke disse tokens.
SR_ONLY_OWNER = Kun ejeren af disse tokens må se dem.
SR_ACCESS_MANDATORY = Dette felt er obligatorisk.
# $date is a date and time in the reader's culture.
SR_ACCESS_TOKEN_EXPIRES = Adgangstokenet udløber den { $date }.
SR_ACCESS_TOKEN_EXPIRED = Adgangstokenet udløb den { $date }.
SR_REFRESHED_BY_SERVER = Denne server fornyer tokens og beholder selv fornyelsestokenet.

## What each call does, in the index of the API. No full stop.

SR_SAVE_EXTERNAL_TOKENS = Gem en udbyders tokens, og få den nøgle, der henter dem igen
SR_GET_EXTERNAL_TOKENS = Hent de tokens, der hører til en nøgle
SR_AUTHORIZE = Få den URL, hvor en bruger giver sit samtykke, og det, der hører til
SR_EXCHANGE_CODE = Ombyt en autorisationskode til tokens, gem dem, og få den nøgle, der henter dem igen
SR_LIST_EXTERNAL_TOKENS = Vis en liste over gemte tokens uden selve tokenerne
SR_DESCRIBE_EXTERNAL_TOKENS = Beskriv gemte tokens uden selve tokenerne
SR_REVOKE_EXTERNAL_TOKENS = Slet gemte tokens med det samme og for altid
SR_REFRESH_EXTERNAL_TOKENS = Forny gemte tokens, og hent dem
SR_REVOKE_GRANT = Tilbagekald adgangen bag gemte tokens hos udbyderen, og slet dem
SR_INTROSPECT_EXTERNAL_TOKENS = Spørg udbyderen, om et gemt adgangstoken virker
SR_REKEY_EXTERNAL_TOKENS = Giv gemte tokens en anden nøgle, og afslut den, de har
SR_EXCHANGE_TOKEN = Ombyt en nøgle til et adgangstoken, som OAuth-klienter gør
SR_REPLACE_EXTERNAL_TOKENS = Læg andre tokens under en nøgle, der findes
SR_CURRENT_PRINCIPAL = Hvem der kalder
SR_CURRENT_TOKEN = Et adgangstoken til autentificering med Bearer
SR_SIGN_IN_PAGE = Loginformularen
SR_SIGN_IN = Log ind
SR_SIGN_OUT = Log ud
SR_ACCOUNT_PAGE = Hvem der er logget ind, og loginbilletterne
SR_NEW_TICKET = Ny loginbillet
SR_REVOKE_TICKET = Tilbagekald loginbilletten
SR_DESCRIBE = Beskriv dette kald uden at udføre det
SR_API_VERSIONS = Versionerne af API’et og af denne server
SR_API_ROUTES = Alle stier, der findes, og hvad hver metode gør
SR_OPENAPI = OpenAPI-dokumentet
SR_API_VIEWER = OpenAPI-dokumentet til at læse og prøve af
SR_HEALTH = Om processen svarer
SR_READINESS = Om databasen og nøglerne kan bruges

## Headings of the pages that describe the API

SR_REQUEST = Anmodning
SR_ANSWER = Svar

## The pages to sign in and of the account. Labels.

SR_API = API
SR_ACCOUNT = Konto
SR_LOGIN_NAME = Brugernavn
SR_PASSWORD = Adgangskode
SR_TENANT = Lejer
SR_TICKETS = Loginbilletter
SR_TICKET_SHOWN_ONCE = Dette er loginbilletten. Den vises kun nu.
SR_ID = Id
SR_CREATED = Oprettet
SR_EXPIRES = Udløber
