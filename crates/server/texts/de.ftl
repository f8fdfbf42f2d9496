# Latchkey's texts for people, in German. See en.ftl.

## Requests that cannot be served. Whole sentences.

SR_REQUIRED = { $property } ist erforderlich.
SR_EITHER_REQUIRED = { $property } oder { $other } ist erforderlich.
SR_NOT_BOTH = Geben Sie { $property } oder { $other } an, nicht beides.
SR_TOO_MANY_CHARACTERS = { $property } ist länger als { $limit } Zeichen.
SR_NUL_CHARACTER = { $property } darf das Zeichen U+0000 nicht enthalten.
SR_TOO_MANY_BYTES = { $property } ist länger als { $limit } Byte.
SR_RANGE = { $property } muss zwischen { $from } und { $to } liegen.
# $expected and $found are SR_KIND_… below.
SR_WRONG_TYPE = { $property } muss { $expected } sein, ist aber { $found }.
SR_BODY_WRONG_TYPE = Der Anfragekörper muss { $expected } sein, ist aber { $found }.
SR_KEY_SHAPE = { $property } ist kein Schlüssel dieses Servers: Ein Schlüssel besteht aus `lk_` und 60 Buchstaben und Ziffern.
SR_KEY_CHECKSUM = { $property } enthält einen Tippfehler: Die Prüfsumme stimmt nicht.
SR_ID_SHAPE = Id ist nicht die ID eines Datensatzes: Eine ID besteht aus 11 Buchstaben und Ziffern.
SR_OWNER = Owner ist kein Benutzername.
SR_CURSOR = Cursor ist kein Wert, mit dem List geantwortet hat.
SR_MANY_HEADERS = Der Header { $header } ist mehr als einmal vorhanden.
SR_NO_HOST = Die Anfrage nennt keinen gültigen Host: Ein Host ist ein Name oder eine Adresse, mit oder ohne Port.
SR_OTHER_HOST = Die Anfrage nennt einen Host, den dieser Server nicht hat; server.hosts in der Konfiguration des Servers fügt ihn hinzu.
SR_BODY_BROKE_OFF = Die Übertragung des Anfragekörpers ist abgebrochen.
SR_BAD_REQUEST = Die Anfrage kann nicht gelesen werden.

# $charset is a charset's name, such as utf-8.
SR_NOT_TEXT = Der Anfragekörper ist kein gültiges { $charset }.
# $coding is a compression's name, such as gzip.
SR_NOT_COMPRESSED = Der Anfragekörper ist nicht korrekt mit { $coding } komprimiert.
SR_TOO_MANY_PARTS = Der Anfragekörper ist in zu vielen Teilen komprimiert.
SR_NOT_JSON = Der Anfragekörper ist kein gültiges JSON (Zeile { $line }, Spalte { $column }).
SR_NOT_XML = Der Anfragekörper ist kein gültiges XML (Byte { $position }).
SR_XML_MIXED = Das XML hat Text neben Elementen oder Inhalt in einem nil-Element (Byte { $position }).
SR_XML_ENTITY = Das XML hat eine Entität, die keine der fünf von XML selbst ist (Byte { $position }).
SR_XML_ENCODING = Die XML-Deklaration nennt eine Zeichenkodierung, die hier nicht unterstützt wird.
SR_DOCUMENT_TYPE = Der Anfragekörper enthält eine Dokumenttypdeklaration; das wird hier nicht unterstützt.
SR_SENT_AS_FORM = Der Inhalt ist { $format }, aber laut Content-Type ein Formular, was manche Clients von selbst angeben. Senden Sie Content-Type: { $type }.
SR_TOO_DEEP = Der Anfragekörper ist mehr als { $limit } Ebenen tief verschachtelt.
SR_TOO_MANY = Der Anfragekörper hat mehr als { $limit } Werte.
# $number counts the operations of a JSON Patch from 1.
SR_PATCH_OPERATION = Operation { $number } des Patches ist ungültig.
SR_PATCH_FAILED = Operation { $number } des Patches kann nicht angewendet werden: Ein Test schlägt fehl, oder ein übergeordnetes Element oder ein Wert fehlt. Die erste Operation beginnt mit einer leeren Anfrage.
SR_PATCH_TOO_LARGE = Der Patch hat mehr als { $limit } Operationen oder kopiert zu viel.

SR_TIME_ZONE = SO-TimeZone muss eine bekannte Zeitzone sein, zum Beispiel NO, US-NY oder Europe/Oslo.
SR_IDEMPOTENCY_KEY = Idempotency-Key muss aus 16 bis 255 sichtbaren ASCII-Zeichen ohne Leerzeichen bestehen; Anführungszeichen darum sind erlaubt.
SR_IDEMPOTENCY_KEY_USED = Mit diesem Idempotency-Key wurde in den letzten 24 Stunden etwas anderes gespeichert; senden Sie zum Speichern von etwas anderem einen anderen.
SR_QUOTA_RECORDS = Dieser Benutzer hat { $limit } Datensätze und damit so viele, wie er haben darf (records.per_user); er kann wieder speichern, sobald einige beendet und entfernt sind.
SR_QUOTA_IDEMPOTENCY_KEYS = Dieser Benutzer hat innerhalb von 24 Stunden { $limit } Werte von Idempotency-Key gesendet und damit so viele, wie er darf (limits.idempotency_keys_per_user).
SR_GRANT_DEAD = Die Freigabe bei { $provider } ist erloschen ({ $cause }): Der Benutzer muss die Verbindung neu herstellen.
SR_GRANT_FAILING = Von { $provider } ist jetzt kein frisches Token zu bekommen ({ $cause }). Versuchen Sie es erneut.
SR_GRANT_BLOCKED = { $provider } akzeptiert diesen Server nicht als Client ({ $cause }); der Betreiber muss grants.providers berichtigen.
SR_GRANTS_PAUSED = Das Erneuern ist angehalten, wie in der Kopie einer Datenbank; der Betreiber nimmt es wieder auf mit: latchkey grants resume.
SR_GRANT_BUSY = Das Erneuern dauert zu lange, oder es laufen zu viele. Versuchen Sie es erneut.
SR_GRANT_UNSAVED = Neue Token sind eingetroffen und warten auf die Datenbank. Versuchen Sie es erneut.
SR_REFRESHES_LIMIT = Es wurde zu oft um Erneuern oder Einlösen gebeten. Versuchen Sie es in { $limit } Sekunden erneut.
SR_REPEATED = { $property } ist mehr als einmal vorhanden.
SR_MUST_BE = { $property } muss { $expected } sein.
SR_NOT_SUPPORTED = { $property } wird nicht unterstützt.
SR_SUBJECT_TOKEN = subject_token ruft nichts ab: Der Schlüssel ist unbekannt, oder sein Datensatz ist beendet.
SR_SCOPE = scope verlangt mehr, als der Anbieter bekanntermaßen gewährt hat.
SR_NO_LIVING_TOKEN = Es gibt kein gültiges Zugriffstoken, und dieser Server erneuert es nicht.
SR_NO_INTROSPECTION = { $provider } hat für diesen Mandanten keinen Introspection-Endpunkt: Introspect braucht einen Anbieter mit einem solchen Endpunkt in grants.providers in der Konfiguration des Servers.
SR_PROVIDER = Provider ist für diesen Mandanten nicht konfiguriert. Senden Sie den genauen Namen eines Anbieters aus grants.providers in der Konfiguration des Servers.
SR_REDIRECT_URI = RedirectUri steht nicht in redirect_uris von { $provider } in der Konfiguration des Servers.
SR_PKCE_VERIFIER = PkceVerifier ist kein PKCE-Verifier: Er hat 43 bis 128 Buchstaben, Ziffern, Bindestriche, Punkte, Unterstriche und Tilden.
SR_CODE_SENT = Dieser AuthorizationCode wurde schon an { $provider } gesendet, und kein Code wird zweimal gesendet: Der Benutzer muss die Verbindung neu herstellen.
SR_CODE_REFUSED = { $provider } hat den AuthorizationCode oder einen mitgesendeten Wert abgelehnt ({ $cause }): Der Benutzer muss die Verbindung neu herstellen.
SR_CODE_LOST = { $provider } hat keine brauchbare Antwort gegeben ({ $cause }), und der Code kann verbraucht sein. Nichts wurde gespeichert; der Benutzer muss die Verbindung neu herstellen.
SR_CODE_UNSAVED = { $provider } hat für den AuthorizationCode Token ausgegeben, die nicht gespeichert werden konnten; der Code ist verbraucht, und der Benutzer muss die Verbindung neu herstellen.
SR_ID_TOKEN = { $provider } hat mit den Token ein id_token gesendet, das für diesen Server nicht gültig ist. Nichts wurde gespeichert.
SR_NO_ID_TOKEN = Nonce kann nicht verglichen werden, weil { $provider } kein überprüfbares id_token gesendet hat. Nichts wurde gespeichert.
SR_NONCE = Nonce ist nicht die des id_token, das { $provider } gesendet hat. Nichts wurde gespeichert.
SR_STATE = State ist nicht der, den dieser Benutzer für dieselben Werte von Provider, RedirectUri, Nonce, PkceVerifier, Parameters und Key erhalten hat, oder ist älter als zehn Minuten; der Code wurde nicht gesendet.
SR_ISSUER = Issuer ist nicht der, den die Konfiguration des Servers für { $provider } enthält; der Code wurde nicht gesendet.
SR_OTHER_USER = Der Benutzer, der von { $provider } zurückkam, ist ein anderer als der, dem diese Token gehören. Nichts wurde gespeichert.
SR_NOTHING_TO_RECONNECT = Mit Key ist nichts abrufbar, sodass keine Verbindung erneuert werden kann.
SR_NO_AUTHORIZATION_ENDPOINT = Provider: { $provider } hat in der Konfiguration des Servers keinen authorization_endpoint, sodass Benutzer nicht dorthin geschickt werden können.
SR_ONLY_OWNER_REPLACES = Nur der Eigentümer dieser Token oder ein Administrator darf sie ersetzen.
SR_OTHER_PROVIDER = Provider ist nicht der, von dem die mit Key abrufbaren Token sind.
SR_OTHER_GENERATION = Generation ist nicht die der Token; das ist { $generation }.
SR_SCOPES = Scopes müssen Namen von Berechtigungen mit Leerzeichen dazwischen sein, in sichtbaren ASCII-Zeichen ohne Anführungszeichen und Backslash.
SR_PARAMETER = Parameters muss { $name } enthalten: { $allowed }.
SR_UNKNOWN_PARAMETER = Parameters darf nur diese Namen enthalten: { $known }.

SR_LOGIN_REQUIRED = Dieser Aufruf erfordert eine Anmeldung. WWW-Authenticate nennt die akzeptierten Authentifizierungsschemas.
SR_LOGIN_REFUSED = Der Benutzername oder das Passwort ist falsch.
SR_LOGIN_SCHEME = Das Authentifizierungsschema in Authorization wird hier nicht akzeptiert. WWW-Authenticate nennt die akzeptierten.
SR_LOGIN_NOT_TEXT = Der Header Authorization ist fehlerhaft: Er enthält Bytes, die kein Text sind.
SR_LOGIN_NOT_BASE64 = Der Header Authorization ist fehlerhaft: Die Anmeldedaten sind nicht base64-kodiert.
SR_LOGIN_CONTROL = Der Header Authorization ist fehlerhaft: Die Anmeldedaten enthalten ein Steuerzeichen.
SR_LOGIN_NO_COLON = Der Header Authorization ist fehlerhaft: Die Anmeldedaten enthalten keinen Doppelpunkt.
SR_TICKET_INVALID = Das Ticket ist fehlerhaft, abgelaufen oder widerrufen.
SR_TOKEN_INVALID = Das Bearer-Token ist fehlerhaft, abgelaufen oder nicht für diesen Server bestimmt.
SR_NO_ISSUER = Von Bearer-Token werden hier nur Zugriffstoken dieses Servers akzeptiert. Mit auth.bearer in der Serverkonfiguration lässt sich ein anderer Aussteller angeben.
SR_SESSION_OVER = Die Sitzung ist beendet. Melden Sie sich erneut an.
SR_XSRF = X-XSRF-TOKEN fehlt oder gehört nicht zur Sitzung.
SR_APPLICATION_REQUIRED = SO-AppToken ist zusammen mit einem Ticket erforderlich.
SR_APPLICATION_UNKNOWN = SO-AppToken gehört nicht zu einer registrierten und aktivierten Anwendung.
SR_APPLICATION_TENANT = Die Anwendung ist für diesen Mandanten nicht zugelassen.
SR_OTHER_TENANT = Die Anmeldedaten gehören zu einem anderen Mandanten als dem im Pfad.
SR_AGENT_CLOSED = Der User agent ist für diesen Mandanten und diese Anwendung gesperrt. Er wird mit online.user_agent in der Serverkonfiguration freigegeben.
SR_BEARER_OFF = Bearer-Token werden hier nicht akzeptiert. Sie werden mit auth.schemes.bearer in der Serverkonfiguration eingeschaltet.
SR_NO_USER = Der Aufrufer ist kein Benutzer dieses Servers.
SR_OTHER_SITE = Das Formular wurde von einer anderen Website gesendet.
SR_ONLY_OWNER_REVOKES = Nur der Eigentümer dieser Token oder ein Administrator darf sie widerrufen.
SR_ONLY_OWNER_REKEYS = Nur der Eigentümer dieser Token oder ein Administrator darf ihnen einen anderen Schlüssel geben.
# A time limit; s is the unit symbol of seconds.
SR_THROTTLED = Es wurden zu viele Passwörter versucht. Versuchen Sie es in { $limit } s erneut.
SR_KEYS_UNAVAILABLE = Die Schlüssel des Token-Ausstellers können derzeit nicht gelesen werden. Versuchen Sie es erneut.

# $index is a path, such as /api/v1.
SR_NO_SUCH_PATH = Unter diesem Pfad gibt es nichts; die vorhandenen Pfade stehen unter { $index }.
# $methods is a list of HTTP methods, such as GET, HEAD.
SR_METHOD_NOT_ALLOWED = Dieser Pfad unterstützt nur { $methods }.
# $types is a list of media types, such as application/json, text/xml.
SR_NOT_ACCEPTABLE = Keiner der in Accept genannten Typen ist hier verfügbar. Fordern Sie { $types } an.
SR_ANSWER_NOT_XML = Die Antwort enthält ein Zeichen, das sich in XML nicht darstellen lässt. Fordern Sie application/json an.
# A time limit; s is the unit symbol of seconds.
SR_TOO_SLOW = Der Anfragekörper ist nicht innerhalb von { $limit } s eingetroffen.
SR_BODY_TOO_LONG = Der Anfragekörper ist länger als { $limit } Byte.
SR_CONTENT_TYPE_MISSING = Die Anfrage enthält Daten, aber keinen Content-Type. Senden Sie { $types }.
SR_CONTENT_TYPE = Dieser Aufruf unterstützt den angegebenen Content-Type nicht. Senden Sie { $types }.
SR_CHARSET = Der Zeichensatz im Content-Type wird hier nicht unterstützt. Senden Sie utf-8, utf-16 oder iso-8859-1.
# $codings is a list of compressions, such as gzip, br.
SR_CONTENT_ENCODING = Die Komprimierung in Content-Encoding wird hier nicht unterstützt. Verwenden Sie { $codings } oder keine Komprimierung.

SR_INTERNAL = Auf dem Server ist ein Fehler aufgetreten. Die Ursache steht im Serverprotokoll unter dieser Anfrage-ID.
SR_OVERLOADED = Der Server ist überlastet und hat nichts gespeichert. Versuchen Sie es erneut.
SR_UNAVAILABLE = Die Datenbank ist nicht verfügbar und hat nichts bestätigt. Versuchen Sie es erneut.
SR_DISK_FULL = Der Datenträger der Datenbank ist voll oder gestört; nichts wurde bestätigt. Versuchen Sie es erneut.
SR_DATABASE_REPLACED = Die Datei der Datenbank wurde verschoben oder ersetzt, während der Server lief; nichts wurde bestätigt. Wenden Sie sich an den Administrator.
SR_KEY_MISSING = Diesem Server fehlt ein Hauptschlüssel. Versuchen Sie es erneut.
SR_KEY_USED_UP = Der Hauptschlüssel hat so viele Datensätze versiegelt, wie ein Schlüssel darf; nichts wurde gespeichert. Der Betreiber muss ihn ersetzen mit: latchkey keys rotate.
SR_NOT_AUDITED = Der Server kann sein Prüfprotokoll nicht schreiben und beantwortet deshalb keinen Aufruf, der protokolliert werden muss. Versuchen Sie es später erneut.
SR_STOPPING = Der Server wird gerade beendet und hat nichts gespeichert.
SR_REQUEST_ID = Anfrage-ID: { $id }

SR_DETAIL_REQUIRED = { $property } fehlt, ist null oder leer in dem Inhalt, der gelesen wurde. Groß- und Kleinschreibung der Namen ist egal.
SR_DETAIL_FOUND = Der Wert ist { $found }.
SR_DETAIL_LENGTH = Die Länge ist { $found }, die Grenze ist { $limit }.
SR_DETAIL_KEY_LENGTH = Der Text hat { $found } Zeichen, ein Schlüssel hat { $limit }.
SR_DETAIL_POSITION = Byte { $position } des Inhalts ist das erste ungültige.
SR_DETAIL_CHARSET = Wenn der Inhalt einen anderen Zeichensatz hat, muss Content-Type ihn nennen, zum Beispiel charset=iso-8859-1.
SR_DETAIL_TIME_ZONE = Eine Zone hat einen Code wie NO oder US-NY, einen IANA-Namen wie Europe/Oslo oder einen Windows-Namen wie W. Europe Standard Time.

## What a value is, in SR_WRONG_TYPE and SR_BODY_WRONG_TYPE

SR_KIND_NULL = null
SR_KIND_BOOLEAN = ein boolescher Wert
SR_KIND_NUMBER = eine Zahl
SR_KIND_INTEGER = eine ganze Zahl
SR_KIND_FRACTION = eine Zahl mit Nachkommastellen
SR_KIND_STRING = eine Zeichenkette
SR_KIND_ARRAY = ein Array
SR_KIND_OBJECT = ein Objekt

## Why a right is limited, and hints for its holder. Whole sentences.

SR_NOT_OWNER = Sie sind nicht Eigentümer dieser Token.
SR_ONLY_OWNER = Nur der Eigentümer dieser Token darf sie sehen.
SR_ACCESS_MANDATORY = Dieses Feld ist ein Pflichtfeld.
# $date is a date and time in the reader's culture.
SR_ACCESS_TOKEN_EXPIRES = Das Zugriffstoken läuft am { $date } ab.
SR_ACCESS_TOKEN_EXPIRED = Das Zugriffstoken ist am { $date } abgelaufen.
SR_REFRESHED_BY_SERVER = Dieser Server erneuert die Token und behält das Refresh-Token für sich.

## What each call does, in the index of the API. No full stop.

SR_SAVE_EXTERNAL_TOKENS = Die Token eines Anbieters speichern und den Schlüssel erhalten, mit dem sie abrufbar sind
SR_GET_EXTERNAL_TOKENS = Die Token zu einem Schlüssel abrufen
SR_AUTHORIZE = Die URL erhalten, unter der ein Benutzer zustimmt, und was dazugehört
SR_EXCHANGE_CODE = Einen Autorisierungscode gegen Token einlösen, diese speichern und den Schlüssel erhalten, mit dem sie abrufbar sind
SR_LIST_EXTERNAL_TOKENS = Gespeicherte Token auflisten, ohne die Token selbst
SR_DESCRIBE_EXTERNAL_TOKENS = Gespeicherte Token beschreiben, ohne die Token selbst
SR_REVOKE_EXTERNAL_TOKENS = Gespeicherte Token sofort und endgültig vernichten
SR_REFRESH_EXTERNAL_TOKENS = Gespeicherte Token erneuern und abrufen
SR_REVOKE_GRANT = Die Freigabe hinter gespeicherten Token bei ihrem Anbieter widerrufen und die Token vernichten
SR_INTROSPECT_EXTERNAL_TOKENS = Den Anbieter fragen, ob ein gespeichertes Zugriffstoken gilt
SR_REKEY_EXTERNAL_TOKENS = Gespeicherten Token einen anderen Schlüssel geben und den bisherigen beenden
SR_EXCHANGE_TOKEN = Einen Schlüssel gegen ein Zugriffstoken tauschen, wie OAuth-Clients es tun
SR_REPLACE_EXTERNAL_TOKENS = Andere Token unter einem vorhandenen Schlüssel ablegen
SR_CURRENT_PRINCIPAL = Wer den Aufruf ausführt
SR_CURRENT_TOKEN = Ein Zugriffstoken für das Schema Bearer
SR_SIGN_IN_PAGE = Das Anmeldeformular
SR_SIGN_IN = Anmelden
SR_SIGN_OUT = Abmelden
SR_ACCOUNT_PAGE = Wer angemeldet ist, und die Tickets
SR_NEW_TICKET = Neues Ticket
SR_REVOKE_TICKET = Das Ticket widerrufen
SR_DESCRIBE = Diesen Aufruf beschreiben, ohne ihn auszuführen
SR_API_VERSIONS = Die Versionen der API und dieses Servers
SR_API_ROUTES = Alle vorhandenen Pfade und was jede Methode bewirkt
SR_OPENAPI = Das OpenAPI-Dokument
SR_API_VIEWER = Das OpenAPI-Dokument zum Lesen und Ausprobieren
SR_HEALTH = Ob der Prozess antwortet
SR_READINESS = Ob die Datenbank und die Schlüssel verwendbar sind

## Headings of the pages that describe the API

SR_REQUEST = Anfrage
SR_ANSWER = Antwort

## The pages to sign in and of the account. Labels.

SR_API = API
SR_ACCOUNT = Konto
SR_LOGIN_NAME = Benutzername
SR_PASSWORD = Passwort
SR_TENANT = Mandant
SR_TICKETS = Tickets
SR_TICKET_SHOWN_ONCE = Dies ist das Ticket. Es wird nur jetzt angezeigt.
SR_ID = ID
SR_CREATED = Erstellt
SR_EXPIRES = Läuft ab
