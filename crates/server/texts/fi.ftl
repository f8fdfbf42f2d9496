# Latchkey's texts for people, in Finnish. See en.ftl.

## Requests that cannot be served. Whole sentences.

SR_REQUIRED = Kenttä { $property } on pakollinen.
SR_EITHER_REQUIRED = Kenttä { $property } tai { $other } on pakollinen.
SR_NOT_BOTH = Anna kenttä { $property } tai { $other }, ei molempia.
SR_TOO_MANY_CHARACTERS = Kentän { $property } arvo on pidempi kuin { $limit } merkkiä.
SR_NUL_CHARACTER = Kentän { $property } arvossa ei saa olla merkkiä U+0000.
SR_TOO_MANY_BYTES = Kentän { $property } arvo on pidempi kuin { $limit } tavua.
SR_RANGE = Kentän { $property } arvon on oltava { $from }–{ $to }.
# $expected and $found are SR_KIND_… below.
SR_WRONG_TYPE = Kentän { $property } arvon on oltava { $expected }, ei { $found }.
SR_BODY_WRONG_TYPE = Pyynnön rungon on oltava { $expected }, ei { $found }.
SR_KEY_SHAPE = Kentän { $property } arvo ei ole tämän palvelimen avain: avaimessa on `lk_` ja 60 kirjainta ja numeroa.
SR_KEY_CHECKSUM = Kentän { $property } arvossa on kirjoitusvirhe: tarkistussumma ei täsmää.
SR_ID_SHAPE = Kentän Id arvo ei ole tietueen tunniste: tunnisteessa on 11 kirjainta ja numeroa.
SR_OWNER = Kentän Owner arvo ei ole käyttäjänimi.
SR_CURSOR = Kentän Cursor arvo ei ole Listin palauttama.
SR_MANY_HEADERS = Otsake { $header } esiintyy useammin kuin kerran.
SR_NO_HOST = Pyyntö ei nimeä kelvollista isäntää: isäntä on nimi tai osoite, portin kanssa tai ilman.
SR_OTHER_HOST = Pyyntö nimeää isännän, jota tällä palvelimella ei ole. Se lisätään palvelimen asetuksella server.hosts.
SR_BODY_BROKE_OFF = Pyynnön rungon siirto keskeytyi.
SR_BAD_REQUEST = Pyyntöä ei voi lukea.

# $charset is a charset's name, such as utf-8.
SR_NOT_TEXT = Pyynnön runko ei ole kelvollista { $charset }-tekstiä.
# $coding is a compression's name, such as gzip.
SR_NOT_COMPRESSED = Pyynnön runko ei ole kelvollista { $coding }-dataa.
SR_TOO_MANY_PARTS = Pyynnön runko on pakattu liian moneen osaan.
SR_NOT_JSON = Pyynnön runko ei ole kelvollista JSON-dataa (rivi { $line }, sarake { $column }).
SR_NOT_XML = Pyynnön runko ei ole kelvollista XML-dataa (tavu { $position }).
SR_XML_MIXED = XML:ssä on tekstiä elementtien vieressä tai sisältöä nil-elementissä (tavu { $position }).
SR_XML_ENTITY = XML:ssä on entiteetti, joka ei ole yksi XML:n omista viidestä (tavu { $position }).
SR_XML_ENCODING = XML-määrittelyssä on merkistökoodaus, jota ei tueta.
SR_DOCUMENT_TYPE = Pyynnön rungossa on dokumenttityypin määrittely, jota ei tueta.
SR_SENT_AS_FORM = Sisältö on muotoa { $format }, mutta Content-Type ilmoittaa lomakkeen, kuten jotkin asiakasohjelmat tekevät itsestään. Lähetä Content-Type: { $type }.
SR_TOO_DEEP = Pyynnön rungossa on yli { $limit } sisäkkäistä tasoa.
SR_TOO_MANY = Pyynnön rungossa on yli { $limit } arvoa.
# $number counts the operations of a JSON Patch from 1.
SR_PATCH_OPERATION = Patchin operaatio { $number } ei ole kelvollinen.
SR_PATCH_FAILED = Patchin operaatiota { $number } ei voi suorittaa: testi epäonnistuu, tai ylempi elementti tai arvo puuttuu. Ensimmäinen operaatio alkaa tyhjästä pyynnöstä.
SR_PATCH_TOO_LARGE = Patchissa on yli { $limit } operaatiota, tai se kopioi liikaa.

SR_TIME_ZONE = Otsakkeen SO-TimeZone arvon on oltava tunnettu aikavyöhyke, esimerkiksi NO, US-NY tai Europe/Oslo.
SR_IDEMPOTENCY_KEY = Otsakkeessa Idempotency-Key on oltava 16–255 näkyvää ASCII-merkkiä ilman välilyöntejä; lainausmerkit niiden ympärillä sallitaan.
SR_IDEMPOTENCY_KEY_USED = Tällä Idempotency-Key-arvolla on tallennettu jotain muuta viimeisten 24 tunnin aikana; lähetä toista tallennusta varten toinen arvo.
SR_QUOTA_RECORDS = Tällä käyttäjällä on { $limit } tietuetta, mikä on suurin sallittu määrä (records.per_user); tallentaminen onnistuu taas, kun osa on päättynyt ja poistettu.
SR_QUOTA_IDEMPOTENCY_KEYS = Tämä käyttäjä on lähettänyt { $limit } Idempotency-Key-arvoa 24 tunnin aikana, mikä on suurin sallittu määrä (limits.idempotency_keys_per_user).
SR_GRANT_DEAD = Valtuutus kohteessa { $provider } ei ole enää voimassa ({ $cause }): käyttäjän on yhdistettävä uudelleen.
SR_GRANT_FAILING = Kohteesta { $provider } ei nyt saada uutta tunnusta ({ $cause }). Yritä uudelleen.
SR_GRANT_BLOCKED = { $provider } ei hyväksy tätä palvelinta asiakkaakseen ({ $cause }); ylläpitäjän on korjattava grants.providers.
SR_GRANTS_PAUSED = Uusiminen on keskeytetty, kuten tietokannan kopiossa; ylläpitäjä jatkaa sitä komennolla: latchkey grants resume.
SR_GRANT_BUSY = Uusiminen kestää liian kauan, tai niitä on kesken liian monta. Yritä uudelleen.
SR_GRANT_UNSAVED = Uudet tunnukset ovat saapuneet ja odottavat tietokantaa. Yritä uudelleen.
SR_REFRESHES_LIMIT = Uusimista tai koodin vaihtoa pyydettiin liian usein. Yritä uudelleen { $limit } sekunnin kuluttua.
SR_REPEATED = Kenttä { $property } esiintyy useammin kuin kerran.
SR_MUST_BE = Kentän { $property } arvon on oltava { $expected }.
SR_NOT_SUPPORTED = Kenttää { $property } ei tueta.
SR_SUBJECT_TOKEN = Kenttä subject_token ei hae mitään: avain on tuntematon, tai sen tietue on päättynyt.
SR_SCOPE = Kentässä scope pyydetään enemmän kuin palveluntarjoajan tiedetään myöntäneen.
SR_NO_LIVING_TOKEN = Voimassa olevaa käyttöoikeustunnusta ei ole, eikä tämä palvelin uusi sitä.
SR_NO_INTROSPECTION = Kohteella { $provider } ei ole introspection-päätepistettä tälle vuokraajalle: Introspect edellyttää palveluntarjoajaa, jolla on sellainen palvelimen asetuksessa grants.providers.
SR_PROVIDER = Kentän Provider palveluntarjoajaa ei ole määritetty tälle vuokraajalle. Lähetä jonkin palvelimen asetuksessa grants.providers olevan palveluntarjoajan tarkka nimi.
SR_REDIRECT_URI = Kentän RedirectUri arvo ei ole palvelimen asetuksessa redirect_uris kohteelle { $provider }.
SR_PKCE_VERIFIER = PkceVerifier ei ole PKCE-varmenne: siinä on 43–128 kirjainta, numeroa, yhdysmerkkiä, pistettä, alaviivaa ja aaltoviivaa.
SR_CODE_SENT = Tämä AuthorizationCode on jo lähetetty kohteeseen { $provider }, eikä koodia lähetetä kahdesti: käyttäjän on yhdistettävä uudelleen.
SR_CODE_REFUSED = { $provider } hylkäsi kentän AuthorizationCode tai sen mukana lähetetyt tiedot ({ $cause }): käyttäjän on yhdistettävä uudelleen.
SR_CODE_LOST = { $provider } ei antanut käyttökelpoista vastausta ({ $cause }), ja koodi voi olla käytetty. Mitään ei tallennettu, ja käyttäjän on yhdistettävä uudelleen.
SR_CODE_UNSAVED = { $provider } antoi tunnukset AuthorizationCode-koodilla, mutta niitä ei voitu tallentaa; koodi on käytetty, ja käyttäjän on yhdistettävä uudelleen.
SR_ID_TOKEN = { $provider } lähetti tunnusten mukana id_tokenin, joka ei kelpaa tälle palvelimelle. Mitään ei tallennettu.
SR_NO_ID_TOKEN = Kenttää Nonce ei voi verrata, koska { $provider } ei lähettänyt tarkistettavaa id_tokenia. Mitään ei tallennettu.
SR_NONCE = Nonce ei ole sama kuin id_tokenissa, jonka { $provider } lähetti. Mitään ei tallennettu.
SR_STATE = State ei ole se, jonka tämä käyttäjä sai samoille arvoille Provider, RedirectUri, Nonce, PkceVerifier, Parameters ja Key, tai se on yli kymmenen minuuttia vanha; koodia ei lähetetty.
SR_ISSUER = Issuer ei ole se, joka palvelimen asetuksissa on kohteelle { $provider }; koodia ei lähetetty.
SR_OTHER_USER = Käyttäjä, joka palasi kohteesta { $provider }, on toinen kuin se, jonka käyttöoikeustunnuksia nämä ovat. Mitään ei tallennettu.
SR_NOTHING_TO_RECONNECT = Key ei hae mitään, joten ei ole mitään yhdistettävää uudelleen.
SR_NO_AUTHORIZATION_ENDPOINT = Provider: kohteella { $provider } ei ole palvelimen asetuksissa kenttää authorization_endpoint, joten käyttäjiä ei voi lähettää sinne.
SR_ONLY_OWNER_REPLACES = Vain näiden käyttöoikeustunnusten omistaja tai järjestelmänvalvoja saa korvata ne.
SR_OTHER_PROVIDER = Provider ei ole se, jonka käyttöoikeustunnuksia Key hakee.
SR_OTHER_GENERATION = Generation ei ole käyttöoikeustunnusten sukupolvi, joka on { $generation }.
SR_SCOPES = Scopes-kentän on oltava oikeuksien nimiä välilyönnein erotettuina, näkyvinä ASCII-merkkeinä ilman lainausmerkkejä ja kenoviivoja.
SR_PARAMETER = Parameters-kentässä on oltava { $name }: { $allowed }.
SR_UNKNOWN_PARAMETER = Parameters-kentässä saa olla vain nämä nimet: { $known }.

SR_LOGIN_REQUIRED = Tämä kutsu vaatii kirjautumisen. Hyväksytyt todennustavat ovat WWW-Authenticate-otsakkeessa.
SR_LOGIN_REFUSED = Käyttäjänimi tai salasana on väärä.
SR_LOGIN_SCHEME = Authorization-otsakkeen todennustapaa ei hyväksytä. Hyväksytyt todennustavat ovat WWW-Authenticate-otsakkeessa.
SR_LOGIN_NOT_TEXT = Authorization-otsake on virheellinen: siinä on tavuja, jotka eivät ole tekstiä.
SR_LOGIN_NOT_BASE64 = Authorization-otsake on virheellinen: kirjautumistiedot eivät ole base64-muodossa.
SR_LOGIN_CONTROL = Authorization-otsake on virheellinen: kirjautumistiedoissa on ohjausmerkki.
SR_LOGIN_NO_COLON = Authorization-otsake on virheellinen: kirjautumistiedoista puuttuu kaksoispiste.
SR_TICKET_INVALID = Kirjautumistiketti on virheellinen, vanhentunut tai mitätöity.
SR_TOKEN_INVALID = Bearer-tunnus on virheellinen, vanhentunut tai tarkoitettu muulle palvelimelle.
SR_NO_ISSUER = Bearer-tunnuksista hyväksytään vain tämän palvelimen omat käyttöoikeustunnukset. Muun myöntäjän voi määrittää palvelimen asetuksella auth.bearer.
SR_SESSION_OVER = Istunto on päättynyt. Kirjaudu uudelleen.
SR_XSRF = Otsake X-XSRF-TOKEN puuttuu tai ei kuulu istuntoon.
SR_APPLICATION_REQUIRED = Otsake SO-AppToken on pakollinen kirjautumistiketin kanssa.
SR_APPLICATION_UNKNOWN = Otsakkeen SO-AppToken arvo ei ole rekisteröidyn ja käytössä olevan sovelluksen tunnus.
SR_APPLICATION_TENANT = Sovellusta ei ole sallittu tälle vuokraajalle.
SR_OTHER_TENANT = Kirjautumistiedot kuuluvat toiselle vuokraajalle kuin polku.
SR_AGENT_CLOSED = User agent on suljettu tältä vuokraajalta ja sovellukselta. Sen voi avata palvelimen asetuksella online.user_agent.
SR_BEARER_OFF = Bearer-tunnuksia ei hyväksytä. Ne voi ottaa käyttöön palvelimen asetuksella auth.schemes.bearer.
SR_NO_USER = Kutsuja ei ole tämän palvelimen käyttäjä.
SR_OTHER_SITE = Lomake lähetettiin toiselta sivustolta.
SR_ONLY_OWNER_REVOKES = Vain näiden käyttöoikeustunnusten omistaja tai järjestelmänvalvoja saa mitätöidä ne.
SR_ONLY_OWNER_REKEYS = Vain näiden käyttöoikeustunnusten omistaja tai järjestelmänvalvoja saa antaa niille toisen avaimen.
# A time limit; s is the unit symbol of seconds.
SR_THROTTLED = Liian monta salasanaa on kokeiltu. Yritä uudelleen, kun on kulunut { $limit } s.
SR_KEYS_UNAVAILABLE = Tunnuksen myöntäjän avaimia ei voi juuri nyt lukea. Yritä uudelleen.

# $index is a path, such as /api/v1.
SR_NO_SUCH_PATH = Tästä polusta ei löydy mitään. Käytettävissä olevat polut ovat luettelossa { $index }.
# $methods is a list of HTTP methods, such as GET, HEAD.
SR_METHOD_NOT_ALLOWED = Tässä polussa on sallittu vain { $methods }.
# $types is a list of media types, such as application/json, text/xml.
SR_NOT_ACCEPTABLE = Mikään Accept-otsakkeen tyypeistä ei ole saatavilla. Tarjolla on { $types }.
SR_ANSWER_NOT_XML = Vastauksessa on merkki, jota ei voi esittää XML-muodossa. Pyydä tyyppiä application/json.
# A time limit; s is the unit symbol of seconds.
SR_TOO_SLOW = Pyynnön runko ei saapunut ajoissa: aikaraja on { $limit } s.
SR_BODY_TOO_LONG = Pyynnön runko on pidempi kuin { $limit } tavua.
SR_CONTENT_TYPE_MISSING = Pyynnössä on runko, mutta Content-Type puuttuu. Sallittu on { $types }.
SR_CONTENT_TYPE = Tämä kutsu ei tue annettua Content-Type-tyyppiä. Sallittu on { $types }.
SR_CHARSET = Content-Type-otsakkeen merkistöä ei tueta. Käytä merkistöä utf-8, utf-16 tai iso-8859-1.
# $codings is a list of compressions, such as gzip, br.
SR_CONTENT_ENCODING = Content-Encoding-otsakkeen pakkausta ei tueta. Käytettävissä on { $codings }, tai sisällön voi jättää pakkaamatta.

SR_INTERNAL = Palvelimessa tapahtui virhe. Syy löytyy palvelimen lokista tällä pyynnön tunnisteella.
SR_OVERLOADED = Palvelin on ylikuormittunut eikä ole tallentanut mitään. Yritä uudelleen.
SR_UNAVAILABLE = Tietokanta ei ole käytettävissä eikä ole vahvistanut mitään. Yritä uudelleen.
SR_DISK_FULL = Tietokannan levy on täynnä tai ei toimi; mitään ei vahvistettu. Yritä uudelleen.
SR_DATABASE_REPLACED = Tietokannan tiedosto siirrettiin tai korvattiin palvelimen ollessa käynnissä; mitään ei vahvistettu. Ota yhteys ylläpitäjään.
SR_KEY_MISSING = Tältä palvelimelta puuttuu pääavain. Yritä uudelleen.
SR_KEY_USED_UP = Pääavain on sinetöinyt niin monta tietuetta kuin yksi avain saa; mitään ei tallennettu. Ylläpitäjän on vaihdettava se komennolla: latchkey keys rotate.
SR_NOT_AUDITED = Palvelin ei voi kirjoittaa tarkastuslokiaan, joten se ei vastaa kutsuihin, jotka on kirjattava. Yritä myöhemmin uudelleen.
SR_STOPPING = Palvelin on pysähtymässä eikä ole tallentanut mitään.
SR_REQUEST_ID = Pyynnön tunniste: { $id }

SR_DETAIL_REQUIRED = { $property } puuttuu, on null tai on tyhjä luetussa sisällössä. Nimien kirjainkoolla ei ole merkitystä.
SR_DETAIL_FOUND = Arvo on { $found }.
SR_DETAIL_LENGTH = Pituus on { $found }, ja raja on { $limit }.
SR_DETAIL_KEY_LENGTH = Tekstissä on { $found } merkkiä, avaimessa { $limit }.
SR_DETAIL_POSITION = Sisällön tavu { $position } on ensimmäinen virheellinen.
SR_DETAIL_CHARSET = Jos sisällön merkistö on muu, ilmoita se Content-Type-otsakkeessa, esimerkiksi charset=iso-8859-1.
SR_DETAIL_TIME_ZONE = Vyöhykkeellä on koodi, kuten NO tai US-NY, IANA-nimi, kuten Europe/Oslo, tai Windows-nimi, kuten W. Europe Standard Time.

## What a value is, in SR_WRONG_TYPE and SR_BODY_WRONG_TYPE

SR_KIND_NULL = null
SR_KIND_BOOLEAN = totuusarvo
SR_KIND_NUMBER = luku
SR_KIND_INTEGER = kokonaisluku
SR_KIND_FRACTION = desimaaliluku
SR_KIND_STRING = merkkijono
SR_KIND_ARRAY = taulukko
SR_KIND_OBJECT = objekti

## Why a right is limited, and hints for its holder. Whole sentences.

SR_NOT_OWNER = Et ole näiden käyttöoikeustunnusten omistaja.
SR_ONLY_OWNER = Vain näiden käyttöoikeustunnusten omistaja saa nähdä ne.
SR_ACCESS_MANDATORY = Tämä kenttä on pakollinen.
# $date is a date and time in the reader's culture.
SR_ACCESS_TOKEN_EXPIRES = Käyttöoikeustunnus vanhenee { $date }.
SR_ACCESS_TOKEN_EXPIRED = Käyttöoikeustunnus vanheni { $date }.
SR_REFRESHED_BY_SERVER = Tämä palvelin uusii tunnukset ja pitää uusimistunnuksen itsellään.

## What each call does, in the index of the API. No full stop.

SR_SAVE_EXTERNAL_TOKENS = Tallenna palveluntarjoajan käyttöoikeustunnukset ja saat avaimen, jolla ne haetaan
SR_GET_EXTERNAL_TOKENS = Hae avainta vastaavat käyttöoikeustunnukset
SR_AUTHORIZE = Hae URL, jossa käyttäjä antaa suostumuksensa, ja mitä siihen kuuluu
SR_EXCHANGE_CODE = Vaihda valtuutuskoodi käyttöoikeustunnuksiin, tallenna ne ja saat avaimen, jolla ne haetaan
SR_LIST_EXTERNAL_TOKENS = Luettele tallennetut käyttöoikeustunnukset ilman itse tunnuksia
SR_DESCRIBE_EXTERNAL_TOKENS = Kuvaa tallennetut käyttöoikeustunnukset ilman itse tunnuksia
SR_REVOKE_EXTERNAL_TOKENS = Tuhoa tallennetut käyttöoikeustunnukset heti ja lopullisesti
SR_REFRESH_EXTERNAL_TOKENS = Uusi tallennetut käyttöoikeustunnukset ja hae ne
SR_REVOKE_GRANT = Peruuta tallennettujen tunnusten valtuutus palveluntarjoajalla ja tuhoa tunnukset
SR_INTROSPECT_EXTERNAL_TOKENS = Kysy palveluntarjoajalta, toimiiko tallennettu käyttöoikeustunnus
SR_REKEY_EXTERNAL_TOKENS = Anna tallennetuille käyttöoikeustunnuksille toinen avain ja lopeta nykyinen
SR_EXCHANGE_TOKEN = Vaihda avain käyttöoikeustunnukseen, kuten OAuth-asiakkaat tekevät
SR_REPLACE_EXTERNAL_TOKENS = Aseta toiset käyttöoikeustunnukset olemassa olevan avaimen alle
SR_CURRENT_PRINCIPAL = Kuka kutsuu
SR_CURRENT_TOKEN = Käyttöoikeustunnus Bearer-todennusta varten
SR_SIGN_IN_PAGE = Kirjautumislomake
SR_SIGN_IN = Kirjaudu sisään
SR_SIGN_OUT = Kirjaudu ulos
SR_ACCOUNT_PAGE = Kuka on kirjautunut, ja kirjautumistiketit
SR_NEW_TICKET = Uusi kirjautumistiketti
SR_REVOKE_TICKET = Mitätöi kirjautumistiketti
SR_DESCRIBE = Kuvaa tämä kutsu suorittamatta sitä
SR_API_VERSIONS = Rajapinnan ja tämän palvelimen versiot
SR_API_ROUTES = Kaikki käytettävissä olevat polut ja se, mitä kukin metodi tekee
SR_OPENAPI = OpenAPI-dokumentti
SR_API_VIEWER = OpenAPI-dokumentti luettavaksi ja kokeiltavaksi
SR_HEALTH = Vastaako prosessi
SR_READINESS = Ovatko tietokanta ja avaimet käytettävissä

## Headings of the pages that describe the API

SR_REQUEST = Pyyntö
SR_ANSWER = Vastaus

## The pages to sign in and of the account. Labels.

SR_API = Rajapinta
SR_ACCOUNT = Tili
SR_LOGIN_NAME = Käyttäjänimi
SR_PASSWORD = Salasana
SR_TENANT = Vuokraaja
SR_TICKETS = Kirjautumistiketit
SR_TICKET_SHOWN_ONCE = Tämä on kirjautumistiketti. Se näytetään vain nyt.
SR_ID = Tunniste
SR_CREATED = Luotu
SR_EXPIRES = Vanhenee
