"""Words of each language, from which encodings.py learns how likely non-ASCII letters are and between which letters.

The words are common ones, with an emphasis on products. They contain each letter of the language roughly as often as a
text does; upper case is derived.
"""

LANGUAGE_SAMPLES = {
    "de": """
        größe für über schön grün blau weiß groß mit und küche gläser schlüssel tür möbel stühle süß straße fuß maß
        außen heiß müsli öl löffel höhe länge gewürz früchte kräuter käse bücher hängelampe öffner übergröße ärmel
        äpfel fräsen größer kürzer für können müssen natürlich schüssel tücher würfel körbe zubehör gehäuse geräte
        stärke wärme nähen mädchen männer kühl gefüllt glänzend französisch österreich münchen köln düsseldorf
        verfügbar lieferung rückseite stück gürtel strümpfe hüte röcke blüte blätter bäume gemüse brötchen spülen
        schließen größentabelle flüssig ausführung jäger schläger räder zähler tönung höschen naß gruß bißchen
        überall übrig überzug österlich ölig ähnlich äußere größte süße weiße heiße
    """,
    "fr": """
        été à où café crème élégant qualité prêt très même après être forêt fenêtre tête bête fête hôtel côté
        bientôt ça garçon façon français leçon reçu noël maïs naïf île boîte août goût sûr mûr œuf cœur sœur bœuf
        œuvre déjà voilà là dès près père mère frère lumière matière première légère bière manière rivière chère
        étagère lavé séché doré foncé clair bébé thé clé santé société beauté été équipé écran école étoile éponge
        épais modèle complète intérieur extérieur électrique réglable résistant réversible vêtement théière cuillère
        fraîcheur chaîne paraître dîner gâteau château bâton âge pâte tâche règle piège siège collègue hélas
        sécurité célèbre élevé présente différent général légume crêpe fidèle à la carte décoré coûte
    """,
    "es": """
        niño niña año españa señor mañana pequeño tamaño baño otoño diseño montaña muñeca compañía leña caña araña
        color azul está más también después aquí allí así sí tú él qué cómo cuándo dónde por qué café sofá bebé papá
        mamá jamás además atrás detrás través inglés francés algodón camión avión jabón cartón melocotón cajón balón
        acción colección decoración habitación iluminación protección información dirección edición jardín cojín
        patín fácil difícil útil móvil ángel lámpara cámara máquina plástico orgánico eléctrico básico clásico
        cerámica música único número último artículo público película teléfono páginas árbol lápiz azúcar césped
        batería librería frío río tío día energía todavía país maíz raíz baúl pingüino vergüenza ñandú ¿qué ¡hola
        número édición ésta
    """,
    "pt": """
        não são pão mão chão cão limão avião botão coração fogão sabão verão algodão então irmão cartão padrão ações
        coleções limões botões corações opções edições informação decoração iluminação proteção promoção criação
        educação atenção ação mãe mães pães alemães maçã lã irmã manhã amanhã avelã você café bebê pé até chapéu céu
        anéis português inglês francês três mês lápis fácil útil móvel automóvel água óleo ótimo último único
        prático elétrico básico clássico cerâmica música número página câmera lâmpada mecânico infância distância
        açúcar taça peça caça lençol almoço preço braço laço serviço cabeça criança força calça saúde país baú juízo
        já lá está à às àquele só avó avô robô ônibus tênis gênero família história série contém também além armário
        escritório acessório relógio açaí área época ícone
    """,
    "it": """
        è perché più città qualità già può così lunedì martedì caffè tè tazza da tè papà università libertà novità
        verità età metà bontà felicità velocità umidità elettricità capacità però ciò giù su là lì sì dì né sé
        poiché finché benché affinché ventitré virtù gioventù tiramisù purè bignè canapè falò comò oblò sarà farà
        potrà dirà è disponibile è stato c’è cioè attività comodità unità località facilità possibilità intensità
    """,
    "ca": """
        és més també això què perquè català català així només però després mà pà café cafè número número dia país
        raïm llengües aigües força plaça peça feliç dolç cançó cotó botó sabó camió armari còmode òptim gràcies
        història família ràpid elàstic elèctric bàsic clàssic ús últim únic bústia paraigües col·lecció intel·ligent
        il·luminació col·locar pel·lícula
    """,
    "nl": """
        één vóór café ideeën patiënt coëfficiënt reünie geïnteresseerd geïsoleerd crème één knieën zeeën kopiëren
        categorieën industriële financiële efficiënt ingrediënten variëren beëindigen coöperatie façade scène
        enquête Italië België Australië kleurige beïnvloeden maïs cliënt officiële drieënhalf paraplu
    """,
    "da": """
        på små grå blå gå få så også både måde når går står får må hår år gård båd tråd håndlavet håndklæde åben år
        åre stål mål skål våd sår gås rød grøn brød smør øl køkken bøger møbler børn før føl hør gør løb søm kød tøj
        nøgle stor støvle sølv højde bønner dør større dørmåtte økologisk ør æble ære være læder glas træ knæ tæppe
        bælte sæbe sæt pære farve lære værktøj pænt næste fjer jern nær ældre æske træ kærlighed tilbehør størrelse
        længde bredde klæder trøje sød øreringe ærme
    """,
    "sv": """
        på små grå blå gå få så också både när går står får må hår år gård båt tråd ål åka ålder åt låda måne råd
        lång stång många handgjord håll måla kål stål skål våt två från före för och öl ögon öppen ö över hög kök
        möbler grön bröd smör böcker kött höst snö dörr större född söt tröja rör rör önska köpa göra hörn mörk
        stövlar bälte läder träd knä täcke säng bär är än ändra äpple ägg lära hästar väska väg färg nästa bäst
        lämplig tjänst kläder väder människa större längd högkvalitativ tillbehör förpackning hållbar
    """,
    "fi": """
        määrä väri pöytä tämä sähkö hyvä lämpö päivä äiti isä käsi sänky mökki köyhä löyly näyttö käyttö täysi yö
        työ syö vyö pyörä hytönen kenkä säästö kesä talvi vähän enemmän ennätys käsintehty lähde läpi tähti väli
        sävy pehmeä leveä kylmä lämmin kevyt jäätelö tyttö söpö möly hölkkä tölkki höyry ääni älykäs öljy över Åbo
        kääntää löytää tyytyväinen ympäristö pitkä täydellinen säilytys häikäisy tämän mikään sisällä päällä šakki
        džonkki tšekki šaali
    """,
    "is": """
        það þú þær þessi þetta þann við með eða það maður þýska þörf þungur þvottur þjónusta orð borð blað góð gott
        stór lítill kápa skór hús bók mjólk brauð kjöt fiskur ís vín öl rauður grænn blár svartur hvítur gæði hæð
        stærð litur síða tími ár mánuður dagur klukkustund ást íslenska reykjavík æð æfing ætla öll önnur ökutæki
        fjölskylda börn bíll sími tölva þráðlaus verð afsláttur
    """,
    "pl": """
        są się być że który również łóżko stół krzesło książka część światło miś żółty zielony biały duży mały łyżka
        złoty srebrny czarny różowy niebieski błękitny wełna bawełna skóra nóż widelec talerz kubek półka szafka
        łazienka świeca święta dziecięcy męski żeński wysokość szerokość długość głębokość jakość ilość możliwość
        próbka źródło późno źle więcej mniej będzie może także już dużo ręcznie ręcznik węgiel gęś pięć dziesięć
        sześć dziewięć ząb kąt sąd wąski gorący świecący dostępność dostępny produkt słoń koń dłoń jabłoń tydzień
        dzień ogień kamień cień jesień kolekcja łańcuszek pierścionek naszyjnik bransoletka żarówka lampa ósmy
        ćwiczenie ćma ołówek środek środa łódź wódka góra córka ogród powrót można żaden źrebak też właściwy własny
        główny wałek zakończenie słodki miód gruszka śliwka
    """,
    "cs": """
        že při před být více může také již když něco někdo dětský pánský dámský velikost šířka výška délka hloubka
        barva černý bílý červený žlutý zelený modrý růžový stříbrný zlatý hnědý šedý stůl židle postel křeslo kniha
        světlo svíčka hrnek talíř lžíce vidlička nůž sklenice láhev příbor polštář přikrývka ručník kůže dřevo sklo
        bavlna vlna ocel kov použití balení množství cena sleva doprava zboží skladem nový kvalitní kvalita česká
        vyrobeno ručně vůně květ květina růže káva čaj mléko chléb máslo sýr vejce ovoce jablko hruška třešeň
        švestka ťuknout ďábel ňadra óda úterý ústa účet území říjen září září únor březen květen červenec město
        měsíc děti tři čtyři pět šest sedm dvacet stůl dům kůň dvůr vůz svůj můj
    """,
    "sk": """
        že pri byť viac môže tiež už keď niečo niekto detský pánsky dámsky veľkosť šírka výška dĺžka hĺbka farba
        čierna biela červená žltá zelená modrá ružová strieborná zlatá hnedá sivá stôl stolička posteľ kreslo kniha
        svetlo sviečka hrnček tanier lyžica vidlička nôž pohár fľaša príbor vankúš prikrývka uterák koža drevo sklo
        bavlna vlna oceľ kov použitie balenie množstvo cena zľava doprava tovar skladom nový kvalitný kvalita
        vyrobené ručne vôňa kvet kvetina ruža káva čaj mlieko chlieb maslo syr vajce ovocie jablko hruška čerešňa
        slivka ťahať ďalší kôň dom môj svoj päť mäso mäkký pamäť vŕba kĺb stĺp zŕn
    """,
    "hu": """
        és egy hogy már több lehet szín fekete fehér piros sárga zöld kék rózsaszín ezüst arany barna szürke asztal
        szék ágy könyv lámpa gyertya bögre tányér kanál villa kés pohár üveg párna takaró törölköző bőr fa pamut
        gyapjú acél fém méret szélesség magasság hosszúság mélység minőség mennyiség ár kedvezmény szállítás termék
        raktáron új kiváló kézzel készült illat virág rózsa kávé tea tej kenyér vaj sajt tojás gyümölcs alma körte
        cseresznye szilva nő férfi gyerek női férfi fiú lány cipő ruha nadrág kabát póló ingek zokni kesztyű sapka
        sál öv táska öt tíz húsz száz ezer ötven őszi tavaszi nyári téli időjárás hűtő sütő mosógép fűtés tűz víz
        levegő föld könnyű nehéz erős gyönyörű különböző működik következő közötti előtt után től ből ről hoz között
        őrült űrhajó időpont fő nő hő lő erdő mező vevő jövő elő felső külső belső késő
    """,
    "hr": """
        što će više može također već kada nešto netko dječji muški ženski veličina širina visina duljina dubina boja
        crna bijela crvena žuta zelena plava ružičasta srebrna zlatna smeđa siva stol stolica krevet knjiga svjetlo
        svijeća šalica tanjur žlica vilica nož čaša boca jastuk pokrivač ručnik koža drvo staklo pamuk vuna čelik
        proizvod količina cijena popust dostava roba noviji kvaliteta kvalitetan ručno izrađeno miris cvijet ruža
        kava čaj mlijeko kruh maslac sir jaje voće jabuka kruška trešnja šljiva međutim rođendan đak anđeo građa
        uređaj kuća noć moć sreća kći četiri šest sljedeći slovenščina češnja življenje želeti
    """,
    "ro": """
        și să că în până după când fără română împreună înălțime lățime lungime adâncime culoare negru roșu galben
        verde albastru roz argintiu auriu maro gri masă scaun pat carte lampă lumânare cană farfurie lingură
        furculiță cuțit pahar sticlă pernă pătură prosop piele lemn bumbac lână oțel metal mărime cantitate preț
        reducere livrare produs disponibilă nouă calitate lucrată manual miros floare trandafir cafea ceai lapte
        pâine unt brânză ouă fructe măr pară cireașă prună bărbați femeie copii cămașă pantofi fustă căciulă mănuși
        curea geantă încălțăminte întreținere mâini câine câte mâncare țară viață față piață atenție țesătură şi
        ştiinţă preţ ţară roşu maşină căţel viaţă piaţă creşte aţă
    """,
    "tr": """
        için çok değil şey büyük küçük güzel yeni kırmızı yeşil sarı beyaz siyah gümüş altın kahverengi gri pembe
        turuncu masa sandalye yatak kitap ışık mum kupa tabak kaşık çatal bıçak bardak şişe yastık battaniye havlu
        deri ağaç ahşap cam pamuk yün çelik genişlik yükseklik uzunluk derinlik renk ölçü fiyat indirim kargo ürün
        stokta kaliteli kalite el yapımı koku çiçek gül kahve çay süt ekmek tereyağı peynir yumurta meyve elma armut
        kiraz erik erkek kadın çocuk bebek gömlek pantolon ayakkabı etek elbise şapka eldiven atkı çorap kemer çanta
        ağır hafif sıcak soğuk yağmur kış yaz ilkbahar sonbahar öğrenci öğretmen değer doğal doğum dağ bağ sağ sol
        ılık ısı ıslak için açık kapalı gece gündüz işte şimdi şeker çözüm özel önce sonra üç dört altı yedi sekiz
        dokuz istanbul iğne kadar mı mü olduğu olduğunu sadece yıkama yıldız kılıf takım kalın ince
    """,
    "lt": """
        yra ir kad būti daugiau gali taip pat jau kai spalva juoda balta raudona geltona žalia mėlyna rožinė
        sidabrinė auksinė ruda pilka stalas kėdė lova knyga šviesa žvakė puodelis lėkštė šaukštas šakutė peilis
        stiklinė butelis pagalvė antklodė rankšluostis oda medis stiklas medvilnė vilna plienas plotis aukštis ilgis
        gylis dydis kokybė kiekis kaina nuolaida pristatymas prekė sandėlyje naujas rankų darbo kvapas gėlė rožė
        kava arbata pienas duona sviestas sūris kiaušinis vaisius obuolys kriaušė vyšnia slyva moterų vyrų vaikų
        batai suknelė kelnės švarkas marškiniai kojinės pirštinės kepurė šalikas diržas krepšys ąžuolas įranga įmonė
        žmogus žemė šiltas ūkis ūgis lietuvių dovanų stalų rūbų mažų geriausių
    """,
    "lv": """
        ir un ka būt vairāk var arī jau kad krāsa melna balta sarkana dzeltena zaļa zila rozā sudraba zelta brūna
        pelēka galds krēsls gulta grāmata gaisma svece krūze šķīvis karote dakšiņa nazis glāze pudele spilvens sega
        dvielis āda koks stikls kokvilna vilna tērauds platums augstums garums dziļums izmērs kvalitāte daudzums
        cena atlaide piegāde prece noliktavā jauns roku darbs smarža zieds roze kafija tēja piens maize sviests
        siers ola augļi ābols bumbieris ķirsis plūme sieviešu vīriešu bērnu apavi kleita bikses jaka krekls zeķes
        cimdi cepure šalle josta soma ēka īss ūdens ģimene ķermenis ļoti ņemt čaula žakete mājas latviešu
    """,
    "et": """
        või ja et olla rohkem võib ka juba kui värv must valge punane kollane roheline sinine roosa hõbedane kuldne
        pruun hall laud tool voodi raamat valgus küünal kruus taldrik lusikas kahvel nuga klaas pudel padi tekk
        rätik nahk puit puuvill vill teras laius kõrgus pikkus sügavus suurus kvaliteet kogus hind allahindlus tarne
        toode laos uus käsitöö lõhn lill roos kohv tee piim leib või juust muna puuviljad õun pirn kirss ploom
        naiste meeste laste kingad kleit püksid jope särk sokid kindad müts sall vöö kott õhtu öö päev tööriist köök
        mööbel töö võti šokolaad žürii
    """,
    "vi": """
        và của có không được người những một cho các với này là đã đến để trong khi như thế nào nhiều màu đen trắng
        đỏ vàng xanh hồng bạc nâu xám bàn ghế giường sách đèn nến cốc đĩa thìa dao ly chai gối chăn khăn da gỗ thủy
        tinh bông len thép chiều rộng chiều cao chiều dài kích thước chất lượng số lượng giá giảm giá giao hàng sản
        phẩm mới cao cấp thủ công mùi hương hoa hồng cà phê trà sữa bánh mì bơ phô mai trứng trái cây táo lê mận nữ
        nam trẻ em giày dép váy quần áo khoác sơ mi tất găng tay mũ khăn quàng thắt lưng túi xách việt nam hà nội
        đẹp tốt bền nhẹ ấm lạnh nước gốm sứ tráng men độ dày phòng ngủ phòng khách nhà bếp để bàn trang trí điện tử
        điện thoại máy tính
    """,
    "ru": """
        и в не на что с по это как для от из или без под при чашка кружка керамическая синяя красная зелёная белая
        чёрная жёлтая серая розовая коричневая стол стул кровать книга лампа настольная свеча тарелка ложка вилка
        нож стакан бутылка подушка одеяло полотенце кожа дерево стекло хлопок шерсть сталь ширина высота длина
        глубина размер цвет качество количество цена скидка доставка товар наличие новый большой маленький ручной
        работы аромат цветок роза кофе чай молоко хлеб масло сыр яйцо фрукты яблоко груша вишня слива женская
        мужская детская обувь платье брюки куртка рубашка носки перчатки шапка шарф ремень сумка россия москва объём
        съёмный подъезд эластичный электрический хороший лучший щётка вещь ещё площадь здесь есть будет можно также
        производитель артикул название описание комплект набор чехол для телефона аккумулятор наушники беспроводные
        цена руб шт миска для супа глубокая
    """,
    "uk": """
        і в не на що з це як для від або без під при чашка кухоль керамічна синя червона зелена біла чорна жовта
        сіра рожева коричнева стіл стілець ліжко книга лампа настільна свічка тарілка ложка виделка ніж склянка
        пляшка подушка ковдра рушник шкіра дерево скло бавовна вовна сталь ширина висота довжина глибина розмір
        колір якість кількість ціна знижка доставка товар наявність новий великий маленький ручної роботи аромат
        квітка троянда кава чай молоко хліб масло сир яйце фрукти яблуко груша вишня слива жіноча чоловіча дитяча
        взуття сукня штани куртка сорочка шкарпетки рукавички шапка шарф ремінь сумка україна київ її їжа єдиний є
        ґудзик об’єм
    """,
    "bg": """
        и в не на че с това като за от или без под при чаша керамична синя червена зелена бяла черна жълта сива
        розова кафява маса стол легло книга лампа настолна свещ чиния лъжица вилица нож бутилка възглавница одеяло
        кърпа кожа дърво стъкло памук вълна стомана ширина височина дължина дълбочина размер цвят качество
        количество цена отстъпка доставка стока наличност нов голям малък ръчна изработка аромат цвете роза кафе чай
        мляко хляб масло сирене яйце плодове ябълка круша череша слива дамска мъжка детска обувки рокля панталон яке
        риза чорапи ръкавици шапка шал колан чанта българия софия ъгъл още също
    """,
    "sr": """
        и у не на да је се за од или без под при шоља керамичка плава црвена зелена бела црна жута сива розе браон
        сто столица кревет књига лампа свећа тањир кашика виљушка нож чаша флаша јастук ћебе пешкир кожа дрво стакло
        памук вуна челик ширина висина дужина дубина величина боја квалитет количина цена попуст достава роба ново
        велики мали ручни рад мирис цвет ружа кафа чај млеко хлеб маслац сир јаје воће јабука крушка трешња шљива
        женска мушка дечја обућа хаљина панталоне јакна кошуља чарапе рукавице капа шал каиш торба србија београд
        ђак љубав њен џем
    """,
    "el": """
        και το του της των στο στη με για από είναι που δεν θα να ένα μια κούπα κεραμική μπλε κόκκινο πράσινο άσπρο
        λευκό μαύρο κίτρινο γκρι ροζ καφέ τραπέζι καρέκλα κρεβάτι βιβλίο φωτιστικό επιτραπέζιο κερί πιάτο κουτάλι
        πιρούνι μαχαίρι ποτήρι μπουκάλι μαξιλάρι κουβέρτα πετσέτα δέρμα ξύλο γυαλί βαμβάκι μαλλί χάλυβας πλάτος ύψος
        μήκος βάθος μέγεθος χρώμα ποιότητα ποσότητα τιμή έκπτωση αποστολή προϊόν διαθέσιμο νέο μεγάλο μικρό
        χειροποίητο άρωμα λουλούδι τριαντάφυλλο τσάι γάλα ψωμί βούτυρο τυρί αυγό φρούτα μήλο αχλάδι κεράσι γυναικεία
        ανδρικά παιδικά παπούτσια φόρεμα παντελόνι μπουφάν πουκάμισο κάλτσες γάντια καπέλο ζώνη τσάντα ελλάδα αθήνα
        ευρώ έως ώρα ήλιος υψηλός ωραίος μπολ για σούπα βαθύ
    """,
    "he": """
        של את על עם לא זה הוא היא כל או גם אל מן ספל קרמיקה כחול אדום ירוק לבן שחור צהוב אפור ורוד חום שולחן כיסא
        מיטה ספר מנורת אהיל נר צלחת כף מזלג סכין כוס בקבוק כרית שמיכה מגבת עור עץ זכוכית כותנה צמר פלדה רוחב גובה
        אורך עומק מידה צבע איכות כמות מחיר הנחה משלוח מוצר במלאי חדש גדול קטן עבודת יד ניחוח פרח ורד קפה תה חלב לחם
        חמאה גבינה ביצה פירות תפוח אגס דובדבן נשים גברים ילדים נעליים שמלה מכנסיים מעיל חולצה גרביים כפפות כובע צעיף
        חגורה תיק ישראל ירושלים קערת מרק עמוקה
    """,
    "ar": """
        في من على إلى عن مع هذا هذه التي الذي أو لا ما كوب خزفي أزرق أحمر أخضر أبيض أسود أصفر رمادي وردي بني طاولة
        كرسي سرير كتاب مصباح شمعة طبق ملعقة شوكة سكين كأس زجاجة وسادة بطانية منشفة جلد خشب زجاج قطن صوف فولاذ العرض
        الارتفاع الطول العمق المقاس اللون الجودة الكمية السعر خصم الشحن المنتج متوفر جديد كبير صغير صناعة يدوية
        رائحة زهرة وردة قهوة شاي حليب خبز زبدة جبن بيض فواكه تفاح كمثرى كرز نساء رجال أطفال حذاء فستان بنطلون سترة
        قميص جوارب قفازات قبعة وشاح حزام حقيبة العربية السعودية مصر دبي وعاء حساء عميق ئ ؤ آلة ىء
    """,
    "th": """
        และ ของ ใน ที่ มี ไม่ ได้ การ เป็น ให้ กับ แก้ว เซรามิก สีน้ำเงิน สีแดง สีเขียว สีขาว สีดำ สีเหลือง สีเทา
        สีชมพู โต๊ะ เก้าอี้ เตียง หนังสือ โคมไฟ เทียน จาน ช้อน ส้อม มีด ขวด หมอน ผ้าห่ม ผ้าเช็ดตัว หนัง ไม้ แก้ว
        ผ้าฝ้าย ขนสัตว์ เหล็ก ความกว้าง ความสูง ความยาว ขนาด คุณภาพ จำนวน ราคา ส่วนลด จัดส่ง สินค้า ใหม่ ใหญ่ เล็ก
        ทำด้วยมือ กลิ่น ดอกไม้ กุหลาบ กาแฟ ชา นม ขนมปัง เนย ชีส ไข่ ผลไม้ แอปเปิล ผู้หญิง ผู้ชาย เด็ก รองเท้า ชุด
        กางเกง เสื้อ ถุงเท้า ถุงมือ หมวก กระเป๋า ไทย กรุงเทพ
    """,
    "ja": """
        青い陶器のマグカップ テーブルランプ 深いスープボウル 花のための花瓶 赤い椅子 白い机 黒い本 緑の服 木製
        手作り 日本製 送料無料 商品 価格 新品 在庫 数量 色 大きい 小さい 長さ 幅 高さ 重さ 素材 綿 革 紙 水 茶 酒 米
        肉 魚 野菜 果物 東京 大阪 京都 市 県 円 男性 女性 子供 靴 帽子 財布 時計 電気 携帯 電話 写真 機 能 使用 方法
        説明 注意 お客様 ご注文 ください です ます した する こと もの これ それ ある ない から まで より など
        として について による において セット サイズ カラー タイプ ブラック ホワイト レッド ブルー シャツ パンツ
        ジャケット コート バッグ シューズ ケース カバー クッション カーテン ライト スマートフォン 、。 ・ー「」 日
        一 国 会 人 年 本 中 長 出 三 時 行 上 下 生 学 前 後 内 外 新 古 高 安 入 用 品 製 付 無 料 対 応 型 式 版
        部 全 限 定 特 別
    """,
    "zh": """
        的 一 是 不 了 在 人 有 我 他 这 个 们 中 来 上 大 为 和 国 地 到 以 说 时 要 就 出 会 可 也 你 对 生 能 而
        子 那 得 于 着 下 自 之 年 蓝色 陶瓷 杯子 红色 椅子 白色 桌子 黑色 书 绿色 衣服 木制 手工 制作 中国 产品
        商品 价格 新款 库存 数量 颜色 大小 长度 宽度 高度 重量 材质 棉 皮 纸 水 茶 酒 米 肉 鱼 蔬菜 水果 北京 上海
        广东 市 县 省 元 男士 女士 儿童 鞋 帽子 钱包 手表 电器 手机 电话 照片 功能 使用 方法 说明 注意 订单 运费
        免费 套装 尺寸 型号 深汤碗 花瓶 铁烛台 亚麻 桌布 带灯罩的台灯 台灯 床 沙发 枕头 被子 毛巾 玻璃 钢 塑料 厨房
        客厅 卧室 夏季 冬季 春秋 款 件 个 双 条 盒 包 品牌 质量 优质 特价 优惠 促销 热卖 时尚 休闲 运动 户外 汽车
        电脑 包装 规格 详细 标题 描述 图片 分类 编号 名称 地址 、。，：（）“”！
    """,
    "zht": """
        的 一 是 不 了 在 人 有 我 他 這 個 們 中 來 上 大 為 和 國 地 到 以 說 時 要 就 出 會 可 也 你 對 生 能 而
        子 那 得 於 著 下 自 之 年 藍色 陶瓷 杯子 紅色 椅子 白色 桌子 黑色 書 綠色 衣服 木製 手工 製作 臺灣 台灣
        產品 商品 價格 新款 庫存 數量 顏色 大小 長度 寬度 高度 重量 材質 棉 皮 紙 水 茶 酒 米 肉 魚 蔬菜 水果 臺北
        香港 市 縣 元 男士 女士 兒童 鞋 帽子 錢包 手錶 電器 手機 電話 照片 功能 使用 方法 說明 注意 訂單 運費 免費
        套裝 尺寸 型號 深湯碗 花瓶 鐵燭台 亞麻 桌布 帶燈罩的檯燈 檯燈 床 沙發 枕頭 被子 毛巾 玻璃 鋼 塑膠 廚房 客廳
        臥室 夏季 冬季 款 件 雙 條 盒 包 品牌 品質 優質 特價 優惠 促銷 熱賣 時尚 休閒 運動 戶外 汽車 電腦 包裝 規格
        詳細 標題 描述 圖片 分類 編號 名稱 地址 、。，：（）「」！
    """,
    "ko": """
        이 그 저 것 수 등 들 및 에 의 가 을 를 은 는 도 로 으로 에서 하다 있다 없다 합니다 입니다 파란 도자기 머그컵
        빨간 의자 하얀 책상 검은 책 초록 옷 나무 수제 한국 제품 상품 가격 신상품 재고 수량 색상 크기 길이 너비 높이
        무게 소재 면 가죽 종이 물 차 술 쌀 고기 생선 야채 과일 서울 부산 시 도 원 남성 여성 아동 신발 모자 지갑 시계
        전기 휴대폰 전화 사진 기능 사용 방법 설명 주의 주문 배송 무료 세트 사이즈 모델 갓이 있는 탁상 램프 깊은 수프
        그릇 꽃병 침대 소파 베개 이불 수건 유리 강철 플라스틱 주방 거실 침실 여름 겨울 봄 가을 브랜드 품질 고급 특가
        할인 판매 인기 패션 운동 야외 자동차 컴퓨터 포장 규격 상세 제목 이미지 분류 번호 이름 주소 셔츠 바지 재킷
        코트 가방 케이스 커버 쿠션 커튼 조명 스마트폰 아름다운 새로운 좋은 작은 큰 긴 짧은
    """,
}
