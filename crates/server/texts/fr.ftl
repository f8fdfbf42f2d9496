# Latchkey's texts for people, in French. See en.ftl.

## Requests that cannot be served. Whole sentences.

SR_REQUIRED = { $property } est obligatoire.
SR_EITHER_REQUIRED = { $property } ou { $other } est obligatoire.
SR_NOT_BOTH = Indiquez { $property } ou { $other }, pas les deux.
SR_TOO_MANY_CHARACTERS = { $property } dépasse { $limit } caractères.
SR_NUL_CHARACTER = { $property } ne doit pas contenir le caractère U+0000.
SR_TOO_MANY_BYTES = { $property } dépasse { $limit } octets.
SR_RANGE = { $property } doit être compris entre { $from } et { $to }.
# $expected and $found are SR_KIND_… below.
SR_WRONG_TYPE = { $property } doit être { $expected }, et non { $found }.
SR_BODY_WRONG_TYPE = Le corps de la requête doit être { $expected }, et non { $found }.
SR_KEY_SHAPE = { $property } n’est pas une clé de ce serveur : une clé se compose de `lk_` et de 60 lettres et chiffres.
SR_KEY_CHECKSUM = { $property } contient une faute de frappe : la somme de contrôle est incorrecte.
SR_ID_SHAPE = Id n’est pas l’identifiant d’un enregistrement : un identifiant se compose de 11 lettres et chiffres.
SR_OWNER = Owner n’est pas un nom d’utilisateur.
SR_CURSOR = Cursor n’est pas une valeur que List a renvoyée.
SR_MANY_HEADERS = L’en-tête { $header } est présent plus d’une fois.
SR_NO_HOST = La requête n’indique pas d’hôte valide : un hôte est un nom ou une adresse, avec ou sans port.
SR_OTHER_HOST = La requête indique un hôte que ce serveur n’a pas ; server.hosts, dans la configuration du serveur, l’ajoute.
SR_BODY_BROKE_OFF = La transmission du corps de la requête a été interrompue.
SR_BAD_REQUEST = La requête est illisible.

# $charset is a charset's name, such as utf-8.
SR_NOT_TEXT = Le corps de la requête n’est pas un texte { $charset } valide.
# $coding is a compression's name, such as gzip.
SR_NOT_COMPRESSED = Le corps de la requête n’est pas correctement compressé en { $coding }.
SR_TOO_MANY_PARTS = Le corps de la requête est compressé en trop de parties.
SR_NOT_JSON = Le corps de la requête n’est pas du JSON valide (ligne { $line }, colonne { $column }).
SR_NOT_XML = Le corps de la requête n’est pas du XML valide (octet { $position }).
SR_XML_MIXED = Le XML contient du texte à côté d’éléments, ou du contenu dans un élément nil (octet { $position }).
SR_XML_ENTITY = Le XML contient une entité qui n’est pas l’une des cinq de XML (octet { $position }).
SR_XML_ENCODING = La déclaration XML indique un encodage qui n’est pas pris en charge ici.
SR_DOCUMENT_TYPE = Le corps de la requête contient une déclaration de type de document, ce qui n’est pas pris en charge ici.
SR_SENT_AS_FORM = Le contenu est du { $format }, mais Content-Type annonce un formulaire, comme certains clients le font d’eux-mêmes ; envoyez Content-Type: { $type }.
SR_TOO_DEEP = Le corps de la requête compte plus de { $limit } niveaux d’imbrication.
SR_TOO_MANY = Le corps de la requête contient plus de { $limit } valeurs.
# $number counts the operations of a JSON Patch from 1.
SR_PATCH_OPERATION = L’opération { $number } du patch n’est pas valide.
SR_PATCH_FAILED = L’opération { $number } du patch ne peut pas être appliquée : un test échoue, ou un parent ou une valeur manque. La première opération part d’une requête vide.
SR_PATCH_TOO_LARGE = Le patch compte plus de { $limit } opérations ou copie trop de données.

SR_TIME_ZONE = SO-TimeZone doit être un fuseau horaire connu, par exemple NO, US-NY ou Europe/Oslo.
SR_IDEMPOTENCY_KEY = Idempotency-Key doit comporter de 16 à 255 caractères ASCII visibles, sans espace ; des guillemets droits autour sont admis.
SR_IDEMPOTENCY_KEY_USED = Cet Idempotency-Key a servi à enregistrer autre chose au cours des dernières 24 heures ; envoyez-en un autre pour un autre enregistrement.
SR_QUOTA_RECORDS = Cet utilisateur a { $limit } enregistrements, le maximum autorisé (records.per_user) ; il pourra de nouveau enregistrer quand certains auront pris fin et auront été supprimés.
SR_QUOTA_IDEMPOTENCY_KEYS = Cet utilisateur a envoyé { $limit } valeurs de Idempotency-Key en 24 heures, le maximum autorisé (limits.idempotency_keys_per_user).
SR_GRANT_DEAD = L’autorisation auprès de { $provider } n’est plus valable ({ $cause }) : l’utilisateur doit se reconnecter.
SR_GRANT_FAILING = Aucun jeton récent de { $provider } ne peut être obtenu pour l’instant ({ $cause }) ; réessayez.
SR_GRANT_BLOCKED = { $provider } n’accepte pas ce serveur comme client ({ $cause }) ; l’exploitant doit corriger grants.providers.
SR_GRANTS_PAUSED = Les renouvellements sont suspendus, comme dans la copie d’une base de données ; l’exploitant les reprend avec : latchkey grants resume.
SR_GRANT_BUSY = Le renouvellement prend trop de temps, ou trop sont en cours ; réessayez.
SR_GRANT_UNSAVED = De nouveaux jetons sont arrivés et attendent la base de données ; réessayez.
SR_REFRESHES_LIMIT = Trop de renouvellements ou d’échanges ont été demandés ; réessayez dans { $limit } secondes.
SR_REPEATED = { $property } est présent plus d’une fois.
SR_MUST_BE = { $property } doit être { $expected }.
SR_NOT_SUPPORTED = { $property } n’est pas pris en charge.
SR_SUBJECT_TOKEN = subject_token ne récupère rien : la clé est inconnue, ou son enregistrement a pris fin.
SR_SCOPE = scope demande plus que ce que le fournisseur est connu pour avoir accordé.
SR_NO_LIVING_TOKEN = Il n’y a pas de jeton d’accès valable, et ce serveur ne le renouvelle pas.
SR_NO_INTROSPECTION = { $provider } n’a pas de point d’introspection pour ce locataire : Introspect nécessite un fournisseur qui en a un dans grants.providers, dans la configuration du serveur.
SR_PROVIDER = Provider n’est pas configuré pour ce locataire ; envoyez le nom exact d’un fournisseur de grants.providers, dans la configuration du serveur.
SR_REDIRECT_URI = RedirectUri ne figure pas dans redirect_uris de { $provider }, dans la configuration du serveur.
SR_PKCE_VERIFIER = PkceVerifier n’est pas un vérificateur PKCE : il a de 43 à 128 lettres, chiffres, traits d’union, points, tirets bas et tildes.
SR_CODE_SENT = Cet AuthorizationCode a déjà été envoyé à { $provider }, et aucun code n’est envoyé deux fois : l’utilisateur doit se reconnecter.
SR_CODE_REFUSED = { $provider } a refusé l’AuthorizationCode ou une valeur envoyée avec lui ({ $cause }) : l’utilisateur doit se reconnecter.
SR_CODE_LOST = { $provider } n’a pas donné de réponse utilisable ({ $cause }), et le code peut être consommé ; rien n’a été enregistré, et l’utilisateur doit se reconnecter.
SR_CODE_UNSAVED = { $provider } a donné des jetons pour l’AuthorizationCode, mais ils n’ont pas pu être enregistrés ; le code est consommé et l’utilisateur doit se reconnecter.
SR_ID_TOKEN = { $provider } a envoyé avec les jetons un id_token qui n’est pas valable pour ce serveur ; rien n’a été enregistré.
SR_NO_ID_TOKEN = Nonce ne peut pas être comparé, car { $provider } n’a pas envoyé d’id_token vérifiable ; rien n’a été enregistré.
SR_NONCE = Nonce n’est pas celui de l’id_token que { $provider } a envoyé ; rien n’a été enregistré.
SR_STATE = State n’est pas celui que cet utilisateur a reçu pour les mêmes Provider, RedirectUri, Nonce, PkceVerifier, Parameters et Key, ou il a plus de dix minutes ; le code n’a pas été envoyé.
SR_ISSUER = Issuer n’est pas celui que la configuration du serveur contient pour { $provider } ; le code n’a pas été envoyé.
SR_OTHER_USER = L’utilisateur revenu de { $provider } n’est pas celui à qui appartiennent ces jetons ; rien n’a été enregistré.
SR_NOTHING_TO_RECONNECT = Key ne permet de récupérer rien ; il n’y a donc rien à reconnecter.
SR_NO_AUTHORIZATION_ENDPOINT = Provider : { $provider } n’a pas d’authorization_endpoint dans la configuration du serveur ; les utilisateurs ne peuvent donc pas y être envoyés.
SR_ONLY_OWNER_REPLACES = Seul le propriétaire de ces jetons ou un administrateur peut les remplacer.
SR_OTHER_PROVIDER = Provider n’est pas celui des jetons que Key permet de récupérer.
SR_OTHER_GENERATION = Generation n’est pas celle des jetons, qui est { $generation }.
SR_SCOPES = Scopes doit contenir des noms d’autorisations séparés par des espaces, en caractères ASCII visibles sans guillemets ni barres obliques inverses.
SR_PARAMETER = Parameters doit contenir { $name } : { $allowed }.
SR_UNKNOWN_PARAMETER = Parameters ne peut contenir que ces noms : { $known }.

SR_LOGIN_REQUIRED = Cet appel exige une identification ; WWW-Authenticate indique les méthodes acceptées.
SR_LOGIN_REFUSED = Le nom d’utilisateur ou le mot de passe est incorrect.
SR_LOGIN_SCHEME = La méthode indiquée dans Authorization n’est pas acceptée ici ; WWW-Authenticate indique celles qui le sont.
SR_LOGIN_NOT_TEXT = L’en-tête Authorization est mal formé : il contient des octets qui ne sont pas du texte.
SR_LOGIN_NOT_BASE64 = L’en-tête Authorization est mal formé : les identifiants ne sont pas en base64.
SR_LOGIN_CONTROL = L’en-tête Authorization est mal formé : les identifiants contiennent un caractère de contrôle.
SR_LOGIN_NO_COLON = L’en-tête Authorization est mal formé : les identifiants ne contiennent pas de deux-points.
SR_TICKET_INVALID = Le ticket est mal formé, expiré ou révoqué.
SR_TOKEN_INVALID = Le jeton Bearer est mal formé, expiré ou n’est pas destiné à ce serveur.
SR_NO_ISSUER = Parmi les jetons Bearer, seuls les jetons d’accès de ce serveur sont acceptés ici ; auth.bearer, dans la configuration du serveur, permet d’indiquer un autre émetteur.
SR_SESSION_OVER = La session est terminée ; reconnectez-vous.
SR_XSRF = X-XSRF-TOKEN est absent ou ne correspond pas à la session.
SR_APPLICATION_REQUIRED = SO-AppToken est obligatoire avec un ticket.
SR_APPLICATION_UNKNOWN = SO-AppToken n’est pas le jeton d’une application enregistrée et activée.
SR_APPLICATION_TENANT = L’application n’est pas autorisée pour ce locataire.
SR_OTHER_TENANT = Les identifiants appartiennent à un autre locataire que celui du chemin.
SR_AGENT_CLOSED = Le User agent est fermé pour ce locataire et cette application ; online.user_agent, dans la configuration du serveur, permet de l’ouvrir.
SR_BEARER_OFF = Les jetons Bearer ne sont pas acceptés ici ; auth.schemes.bearer, dans la configuration du serveur, permet de les activer.
SR_NO_USER = L’appelant n’est pas un utilisateur de ce serveur.
SR_OTHER_SITE = Le formulaire a été envoyé depuis un autre site.
SR_ONLY_OWNER_REVOKES = Seul le propriétaire de ces jetons ou un administrateur peut les révoquer.
SR_ONLY_OWNER_REKEYS = Seul le propriétaire de ces jetons ou un administrateur peut leur donner une autre clé.
# A time limit; s is the unit symbol of seconds.
SR_THROTTLED = Trop de mots de passe ont été essayés ; réessayez dans { $limit } s.
SR_KEYS_UNAVAILABLE = Les clés de l’émetteur du jeton sont illisibles pour le moment ; réessayez.

# $index is a path, such as /api/v1.
SR_NO_SUCH_PATH = Il n’y a rien à ce chemin ; consultez { $index } pour connaître les chemins disponibles.
# $methods is a list of HTTP methods, such as GET, HEAD.
SR_METHOD_NOT_ALLOWED = Ce chemin n’accepte que { $methods }.
# $types is a list of media types, such as application/json, text/xml.
SR_NOT_ACCEPTABLE = Aucun des types indiqués dans Accept n’est disponible ici ; demandez { $types }.
SR_ANSWER_NOT_XML = La réponse contient un caractère que XML ne peut pas représenter ; demandez application/json.
# A time limit; s is the unit symbol of seconds.
SR_TOO_SLOW = Le corps de la requête n’est pas arrivé dans un délai de { $limit } s.
SR_BODY_TOO_LONG = Le corps de la requête dépasse { $limit } octets.
SR_CONTENT_TYPE_MISSING = La requête a un corps, mais pas de Content-Type ; envoyez { $types }.
SR_CONTENT_TYPE = Cet appel ne prend pas en charge le Content-Type indiqué ; envoyez { $types }.
SR_CHARSET = Le jeu de caractères du Content-Type n’est pas pris en charge ici ; envoyez utf-8, utf-16 ou iso-8859-1.
# $codings is a list of compressions, such as gzip, br.
SR_CONTENT_ENCODING = La compression indiquée dans Content-Encoding n’est pas prise en charge ici ; utilisez { $codings } ou ne compressez pas.

SR_INTERNAL = Une erreur s’est produite sur le serveur ; la cause figure dans son journal sous cet identifiant de requête.
SR_OVERLOADED = Le serveur est surchargé et n’a rien enregistré ; réessayez.
SR_UNAVAILABLE = La base de données est indisponible et n’a rien confirmé ; réessayez.
SR_DISK_FULL = Le disque de la base de données est plein ou en panne ; rien n’a été confirmé, réessayez.
SR_DATABASE_REPLACED = Le fichier de la base de données a été déplacé ou remplacé pendant que le serveur fonctionnait ; rien n’a été confirmé. Adressez-vous à l’administrateur.
SR_KEY_MISSING = Il manque une clé principale à ce serveur ; réessayez.
SR_KEY_USED_UP = La clé principale a scellé autant d’enregistrements qu’une clé y est autorisée ; rien n’a été enregistré. L’exploitant doit la remplacer avec : latchkey keys rotate.
SR_NOT_AUDITED = Le serveur ne peut pas écrire son journal d’audit et ne répond donc à aucun appel qui doit y figurer. Réessayez plus tard.
SR_STOPPING = Le serveur est en cours d’arrêt et n’a rien enregistré.
SR_REQUEST_ID = Identifiant de requête : { $id }

SR_DETAIL_REQUIRED = { $property } est absent, nul ou vide dans le contenu qui a été lu ; la casse des noms n’importe pas.
SR_DETAIL_FOUND = La valeur est { $found }.
SR_DETAIL_LENGTH = La longueur est { $found } et la limite est { $limit }.
SR_DETAIL_KEY_LENGTH = Le texte a { $found } caractères ; une clé en a { $limit }.
SR_DETAIL_POSITION = L’octet { $position } du contenu est le premier qui n’est pas valide.
SR_DETAIL_CHARSET = Si le contenu a un autre jeu de caractères, indiquez-le dans Content-Type, par exemple charset=iso-8859-1.
SR_DETAIL_TIME_ZONE = Un fuseau a un code, comme NO ou US-NY, un nom IANA, comme Europe/Oslo, ou un nom Windows, comme W. Europe Standard Time.

## What a value is, in SR_WRONG_TYPE and SR_BODY_WRONG_TYPE

SR_KIND_NULL = null
SR_KIND_BOOLEAN = un booléen
SR_KIND_NUMBER = un nombre
SR_KIND_INTEGER = un nombre entier
SR_KIND_FRACTION = un nombre décimal
SR_KIND_STRING = une chaîne de caractères
SR_KIND_ARRAY = un tableau
SR_KIND_OBJECT = un objet

## Why a right is limited, and hints for its holder. Whole sentences.

SR_NOT_OWNER = Vous n’êtes pas propriétaire de ces jetons.
SR_ONLY_OWNER = Seul le propriétaire de ces jetons peut les voir.
SR_ACCESS_MANDATORY = Ce champ est obligatoire.
# $date is a date and time in the reader's culture.
SR_ACCESS_TOKEN_EXPIRES = Le jeton d’accès expire le { $date }.
SR_ACCESS_TOKEN_EXPIRED = Le jeton d’accès a expiré le { $date }.
SR_REFRESHED_BY_SERVER = Ce serveur renouvelle les jetons et garde pour lui le jeton de renouvellement.

## What each call does, in the index of the API. No full stop.

SR_SAVE_EXTERNAL_TOKENS = Enregistrer les jetons d’un fournisseur et obtenir la clé qui permet de les récupérer
SR_GET_EXTERNAL_TOKENS = Récupérer les jetons associés à une clé
SR_AUTHORIZE = Obtenir l’URL où un utilisateur donne son accord, et ce qui va avec
SR_EXCHANGE_CODE = Échanger un code d’autorisation contre des jetons, les enregistrer et obtenir la clé qui permet de les récupérer
SR_LIST_EXTERNAL_TOKENS = Lister les jetons enregistrés, sans les jetons eux-mêmes
SR_DESCRIBE_EXTERNAL_TOKENS = Décrire des jetons enregistrés, sans les jetons eux-mêmes
SR_REVOKE_EXTERNAL_TOKENS = Détruire des jetons enregistrés, immédiatement et définitivement
SR_REFRESH_EXTERNAL_TOKENS = Renouveler des jetons enregistrés et les obtenir
SR_REVOKE_GRANT = Révoquer chez son fournisseur l’autorisation derrière des jetons enregistrés, et les détruire
SR_INTROSPECT_EXTERNAL_TOKENS = Demander au fournisseur si un jeton d’accès enregistré est valable
SR_REKEY_EXTERNAL_TOKENS = Donner une autre clé à des jetons enregistrés et mettre fin à celle qu’ils ont
SR_EXCHANGE_TOKEN = Échanger une clé contre un jeton d’accès, comme le font les clients OAuth
SR_REPLACE_EXTERNAL_TOKENS = Placer d’autres jetons sous une clé existante
SR_CURRENT_PRINCIPAL = Indique qui effectue l’appel
SR_CURRENT_TOKEN = Un jeton d’accès pour la méthode Bearer
SR_SIGN_IN_PAGE = Le formulaire de connexion
SR_SIGN_IN = Se connecter
SR_SIGN_OUT = Se déconnecter
SR_ACCOUNT_PAGE = Indique qui est connecté, avec les tickets
SR_NEW_TICKET = Nouveau ticket
SR_REVOKE_TICKET = Révoquer le ticket
SR_DESCRIBE = Décrire cet appel sans l’exécuter
SR_API_VERSIONS = Les versions de l’API et de ce serveur
SR_API_ROUTES = Tous les chemins disponibles et ce que fait chaque méthode
SR_OPENAPI = Le document OpenAPI
SR_API_VIEWER = Le document OpenAPI, à lire et à essayer
SR_HEALTH = Indique si le processus répond
SR_READINESS = Indique si la base de données et les clés sont utilisables

## Headings of the pages that describe the API

SR_REQUEST = Requête
SR_ANSWER = Réponse

## The pages to sign in and of the account. Labels.

SR_API = API
SR_ACCOUNT = Compte
SR_LOGIN_NAME = Nom d’utilisateur
SR_PASSWORD = Mot de passe
SR_TENANT = Locataire
SR_TICKETS = Tickets
SR_TICKET_SHOWN_ONCE = Voici le ticket. Il n’est affiché que maintenant.
SR_ID = Identifiant
SR_CREATED = Créé le
SR_EXPIRES = Expire le
