# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""Words and phrases that scan_mail.py writes mail with. Kept apart from control/rules/mailtext.c, which plans are made
with: what is measured must not be the text that decisions were taken on. Each list is ranked, most frequent first."""

NOUNS = """time people thing work week day meeting project team order way question problem customer case point company
plan report office system change account group list number message service product answer idea price place house school
page book table invoice contract payment delivery address phone street city country market month year morning evening
afternoon moment hour minute problem solution version release server network database file folder document attachment
picture photo video link website password login budget quote proposal estimate agreement draft copy review feedback
comment discussion decision agenda schedule calendar deadline milestone task issue ticket bug feature branch patch test
build deployment machine laptop printer keyboard screen window door key car train flight hotel ticket trip holiday
weekend lunch dinner coffee kitchen garden family friend child parent teacher student doctor lawyer manager director
colleague partner supplier client vendor employee candidate interview position department warehouse factory shipment
container package parcel weight size colour model sample material quality quantity discount amount balance total tax
bank loan interest rate share stock fund insurance policy claim form signature permission access right law court rule
member club event concert ticket match game season score player coach field road bridge river mountain weather rain
temperature energy water paper wood metal stone engine battery cable sensor signal pressure speed distance figure chart
graph column row value result average percentage sample survey analysis research theory method experiment article
chapter author editor reader newspaper magazine language translation word sentence letter subject matter reason purpose
effort support advice information knowledge experience opportunity challenge approach process procedure structure
relationship responsibility requirement specification configuration documentation implementation environment
infrastructure maintenance performance security authentication certificate subscription newsletter preference
notification reminder confirmation reservation cancellation refund receipt statement""".split()

VERBS = """need want send think know see look ask talk call check use work help try start move plan follow change add
happen offer open close order ship return pay cost book visit arrive join discuss explain mention suggest agree confirm
accept approve reject decline cancel postpone schedule update upgrade install remove replace repair fix test measure
compare review complete finish deliver receive collect print scan attach forward reply answer contact inform remind
remember expect assume consider prefer support cover include contain require allow prevent avoid reduce increase improve
develop design create produce publish present prepare organise manage handle process record report register subscribe
restart connect load save store copy delete export import translate correct clarify resolve escalate assign share invite
attend enjoy thank wish hope love like miss wait stay live walk drive travel cook clean paint plant water learn teach
study practise train play watch listen""".split()

ADJECTIVES = """new good other last next same long great small large old early late short high low whole full open clear
right wrong sure ready happy sorry nice easy hard simple quick slow fast free available possible necessary important
useful current recent previous following final first second third main major minor local national international
personal private public general special particular different similar common rare real actual official technical legal
financial commercial electronic digital manual automatic annual monthly weekly daily internal external additional
optional complete partial correct accurate reasonable significant considerable interesting excellent perfect beautiful
comfortable reliable flexible responsible green blue red white black warm cold dry wet heavy light deep wide narrow
quiet busy empty""".split()

ADVERBS = """also just still now then here there again already soon later today tomorrow yesterday really probably perhaps
maybe usually often sometimes never always actually finally recently currently directly quickly carefully together
instead otherwise therefore however meanwhile hopefully unfortunately fortunately clearly exactly nearly almost quite
rather only even twice once everywhere""".split()

PLACES = """Berlin Madrid Oslo Vienna Dublin Lisbon Warsaw Prague Toronto Boston Chicago Denver Seattle Austin Sydney
Melbourne Auckland Singapore Osaka Nairobi Lagos Cairo Lima Bogota Geneva Zurich Milan Lyon Porto Ghent Leeds Bristol
Glasgow Malmo Turku Tallinn""".split()

FIRST = """Anna Peter Laura Thomas Julia Martin Sophie Daniel Emma Lukas Clara Felix Nina Oliver Hannah Simon Alice Henry
Grace George Ruth Samuel Helen Walter Irene Victor Yusuf Amara Chen Priya Ravi Mei Kenji Aiko Omar Leila Ivan Olga
Pedro Lucia Jorge Elena Andre Camille Pierre Ingrid Lars Freya""".split()

LAST = """Hartmann Okafor Lindqvist Moreau Petrov Castellanos Nakamura Whitfield Abernathy Kowalczyk Dubois Iyer Farouk
Sorensen Vandermeer Eastwood Thornbury Gallagher Rossetti Marchetti Steinbach Oyelaran Bakker Halvorsen Nyberg Pemberton
Quintero Rasmussen Sandoval Tremblay Ueda Villareal Winslow Yamashita Zielinski Ashworth Birkett Coombes""".split()

COMPANIES = """Northwind Bluefern Halcyon Meridian Copperleaf Stonebridge Lakeshore Redwood Silverline Oakfield Brightwater
Kestrel Summit Harbour Fairmont Granite Juniper Evergreen Polaris Cobalt Windmill Lantern Foxglove Hollow Quarry""".split()

OPENINGS = ["Hi {first},", "Hello {first},", "Dear {first},", "Dear Mr {last},", "Dear Ms {last},", "Good morning {first},",
            "Hi all,", "Hello everybody,", "Dear colleagues,", "{first},", "Hi,", "Dear Sir or Madam,", "Dear customer,"]
CLOSINGS = ["Best regards,", "Kind regards,", "Thanks,", "Many thanks,", "Regards,", "Cheers,", "Best,", "Yours sincerely,",
            "Thank you,", "Have a nice weekend,", "With kind regards", "Talk soon,"]
PHRASES = """please find attached the {n} for {n2}
let me know if you have any questions
I am out of the office until {day} with limited access to email
thank you for your patience while we look into this
could you please send me the {n} by {day}
we have received your {n} and will get back to you within {num} working days
as discussed on the phone, the {n} is now {a}
I hope this finds you well
just a quick reminder that the {n} is due on {day}
you can reach me at {tel} or by reply to this message
the total is {money}, to be paid by {date}
see the notes below for the details of the {n}
does {day} at {clock} work for you
looking forward to hearing from you
sorry for the late reply, I was in {place} all week
I have added {first} to this thread
your order number is {num}{num} and it was shipped on {date}
nothing has to be done on your side
please do not reply to this message, it was sent automatically
if you did not ask for this, you can ignore this message
we would be happy to help you with that
this is the third time that the {n} has failed
attached is the signed {n} as a PDF
the new version can be downloaded from {url}
more about this at {url}
I have moved the {n} to {day}, {clock}
can we talk about the {a} {n} before {day}
what do you think about {place} for the next {n}
please confirm your {n} by clicking the link below: {url}
sign in to your account to see the {n}
there were {num} errors in the log since {clock}
our {n} costs {money} a month and includes {num} users""".split("\n")
MARKETING = """save up to {pct} on {a} {n}s this week only
free shipping on orders over {money}
your exclusive {n} is waiting for you
only {num} left in stock
shop the new collection now
members get an extra {pct} off with code {code}
limited time offer, ends {day} at midnight
rated {num} stars by our customers
discover our {a} {n} and more
don't miss out on these deals
earn double points on every {n}
see what is new in {place} this month
refer a friend and get {money}
no credit card required
money back guarantee for {num} days
start your free trial today""".split("\n")
UNSOLICITED = """I am contacting you about a business proposal of {money} million that will benefit both of us
you have been selected to receive {money}, reply with your full name and address
buy cheap medicine online without a prescription at {url}
make money from home, no experience needed, {money} a week
congratulations, your email address has won {money} in our lottery
your mailbox is almost full, verify your account here: {url}
lose weight fast with this one simple {n}
replica watches from {money}, order now at {url}
this is not spam, you are receiving this because you signed up at one of our partners
hot singles in {place} want to meet you
work only {num} hours a day and be your own boss
I am the widow of the late director of a bank in {place} and I need your urgent assistance""".split("\n")
DISCLAIMERS = [
    "The contents of this message and of its attachments are meant for the persons named above only. Should it have "
    "reached you in error, we ask you to tell us and to erase it; any use by others is not permitted.",
    "Opinions in this message are those of its author and not necessarily those of the company. Registered in {place}, "
    "number {num}{num}.",
    "You receive this newsletter because you subscribed with the address shown above. To change your preferences or to "
    "unsubscribe at any time, follow the link below. {company} Ltd, {num} Harbour Street, {place}. All rights reserved.",
    "Think of the trees before you print this.",
]
FOREIGN = {
    "de": """wir haben Ihre Bestellung erhalten und bearbeiten sie so schnell wie möglich
vielen Dank für Ihre Anfrage vom {date}
anbei finden Sie die gewünschten Unterlagen
bitte überweisen Sie den Betrag von {money} bis zum {date}
das Treffen am {date} muss leider verschoben werden
können Sie mir kurz bestätigen, ob der Termin passt
mit freundlichen Grüßen
die Lieferung verzögert sich um einige Tage
unsere Öffnungszeiten haben sich geändert""".split("\n"),
    "fr": """nous avons bien reçu votre commande et la préparons
veuillez trouver ci-joint le document demandé
merci de confirmer votre présence avant le {date}
le montant de {money} sera débité de votre compte
la réunion est reportée à la semaine prochaine
n'hésitez pas à nous contacter pour toute question
bien cordialement
votre colis sera livré à l'adresse indiquée""".split("\n"),
    "es": """hemos recibido su pedido y lo enviaremos lo antes posible
le adjunto la factura del mes pasado
por favor confirme su dirección antes del {date}
la reunión se celebrará en la oficina a las {clock}
muchas gracias por su ayuda
un cordial saludo
el importe total es de {money}
mañana le llamaré para hablar del proyecto""".split("\n"),
    "ru": """добрый день, посылаю вам документы
спасибо за быстрый ответ
встреча перенесена на {date}
с уважением
счёт на сумму {money} нужно оплатить""".split("\n"),
    "ja": """お世話になっております。
ご注文ありがとうございます。
会議は{date}に変更になりました。
よろしくお願いいたします。
資料を添付いたします。""".split("\n"),
}
