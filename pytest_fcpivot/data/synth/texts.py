"""Templates and words of the generated texts, by language; a `{slot}` stands for one of the words of that name.

Nobody here exists: names are made up, and addresses are at domains that are reserved for examples.
"""

from __future__ import annotations

NAMES = (
    "Adela Brunmark", "Tiago Vellosin", "Noor Haddenfeld", "Kasimir Oluwande", "Yumi Takegarasu", "Brígida Salvaterre",
    "Ferdinand Ohmsleben", "Ayşe Korkutlar", "Lowri Penhallick", "Matěj Dvořenický", "Sidonie Arcambeau",
    "Oisín Mac Lorcan", "Rahel Zemichael-Toft", "Björn Askeland-Vik", "Chiamaka Ezeudo", "Paloma Ribadavia",
    "Henrik Stubbemose", "Zuzanna Krzemińska-Lis", "Dariush Navabpour", "Elif Sarigül", "Ruairí Drumgoole",
    "Ilse Wagenknapp", "Tomoko Arishimada", "Leandro Montecasto", "Mirela Vâlcovan", "Gwendolyn Ashcombe-Rye",
)  # fmt: skip
CITIES = (
    "Lisbon", "Kraków", "Osaka", "Nairobi", "Montréal", "São Paulo", "Dublin", "Tallinn", "Valparaíso", "Hanoi",
    "Bergen", "Zürich", "Pune", "Cape Town", "Wellington", "Seville", "Tromsø", "Denver", "Izmir", "Ghent",
)  # fmt: skip
WORDS_EN = {
    "thing": (
        "the booking", "the invoice", "the delivery", "the support ticket", "your membership", "the payment plan",
        "the appointment", "the refund request", "the shipping label", "the savings account", "the rental contract",
        "the prescription", "the course enrolment", "the repair order", "the warranty claim", "the gift card",
        "the travel itinerary", "the parking permit", "the data export", "the meeting room", "the loyalty statement",
        "the insurance file", "the phone line", "the service visit", "the replacement part", "the deposit",
    ),
    "state": (
        "is confirmed", "is still waiting for approval", "was changed this morning", "has two open items",
        "is on hold until somebody signs it", "was closed by the other department", "shows no errors at all",
        "is due in less than a week", "needs one more document", "has been paid in full", "is only partly paid",
        "was sent to the wrong address", "is ready to be collected", "cannot be changed any more",
        "was reopened at the customer's wish", "has moved to the next stage", "is marked as urgent",
        "lists an older email address", "was duplicated by mistake", "has expired",
    ),
    "act": (
        "move it to a later date", "send the receipt again", "cancel it free of charge", "split it into two parts",
        "add a second contact", "ask the warehouse for a photo", "apply the voucher", "issue a new document",
        "change the delivery address", "raise the limit for a week", "book the earlier slot",
        "put it on the waiting list", "pass the case to a colleague", "correct the spelling of the name",
        "remove the extra fee", "keep everything as it is", "set up a reminder", "refund the difference",
        "check the other branch", "upgrade it to the next tier", "verify the account first",
        "translate the notice", "print it at the counter",
    ),
    "why": (
        "the payment had not cleared", "the calendar was full", "two records share a number", "the form was incomplete",
        "the policy changed in spring", "the carrier lost the parcel", "the account is older than five years",
        "the request came after office hours", "the item is out of stock", "the currency was converted twice",
        "the first reader overlooked a page", "the system was being updated", "the name does not match the file",
        "nobody answered the phone", "the voucher had already been used", "the door code is renewed every month",
    ),
    "when": (
        "by tomorrow noon", "within three working days", "before the end of the month", "as soon as the form arrives",
        "on the next business day", "after the public holiday", "in about twenty minutes",
        "once the clerk has signed it", "at the latest on {date}", "from {date} on", "between 9:00 and 11:30",
        "when the office opens again",
    ),
}  # fmt: skip
ANSWERS_EN = (
    "I have looked up {thing} {id}, and it {state} as of {date}.",
    "Good news: {thing} under **{id}** {state}, and the total of {amount} has been recorded.",
    "I can {act} {when}, if that suits you.",
    "The reason is that {why}, which is why {thing} {state}.",
    "For reference, the number is **{id}** and the contact on file is {name} ({email}).",
    "Would you like me to {act}, or should I rather {act}?",
    "Please note that {thing} {state}; we would have to {act} {when}.",
    "The amount of {amount} will be returned to the card ending in {n}, usually {when}.",
    "{name} from our {city} office noted on {date} that {why}.",
    "\n\n### What happens next\n1. We {act}.\n2. You get a message at {email}.\n3. Then {thing} is settled {when}.\n\n",
    "I understand that this is annoying, and I am sorry that {why}.",
    "Here is what I found for {id}:\n- Status: it {state}\n- Place: {city}\n- Date: {date}\n- Amount: {amount}\n\n",
    "If {thing} {state} after that, tell me the code {n} and I will {act}.",
    "\n\n| Item | Date | Amount |\n|---|---|---|\n| {id} | {date} | {amount} |\n| {id} | {date} | {amount} |\n\n",
    "There are {n} entries in all, and the latest one says that {thing} {state}.",
    "Nothing else has to be done on your side: I will {act} {when}.",
    "To be on the safe side, keep the confirmation {id} until {date}, because {why}.",
    "As you asked, I did not {act}; that can still be done {when}.",
)
REASONING_EN = (
    "The user wants to know about {thing}, and the number they gave is {id}.",
    "According to the record {thing} {state}, so I should not {act} yet.",
    "Let me check the policy: it only allows us to {act} {when}.",
    "Wait, the date {date} doesn't fit, maybe because {why}.",
    "The previous result says that {thing} {state}, with an amount of {amount}.",
    "They did not say whether to {act}, and I can't assume that.",
    "First I need the identifier. It was mentioned before: {id}, under the name {name}.",
    "Okay, so {why}. That would explain why {thing} {state}.",
    "Hmm, two options here: {act}, or {act}. The second needs a confirmation.",
    "The required parameters are all there, since {id} and {date} were both given.",
    "I have to be careful not to promise that we can {act} {when}.",
    "The user lives in {city}, which matters because {why}.",
    "If it {state}, then the next step is to {act}; otherwise I should ask again.",
    "The email on file is {email}, and it matches what the user wrote.",
    "So the total would be {amount}, not {amount}, given that {why}.",
    "I should explain briefly that {thing} {state} and offer to {act}.",
)
USERS_EN = (
    "Hello, I'm writing about {thing}, number {id}.",
    "I was told that {thing} {state}, but {why}.",
    "Could you {act} {when}?",
    "My name is {name} and my email is {email}.",
    "Thanks. And can you also {act}?",
    "I'm in {city} until {date}, so it has to be done {when}.",
    "I paid {amount} on {date} and still nothing has happened!",
    "ok, go ahead and {act}. the code is {n}",
    "Yes, please {act}. That's what I need.",
    "What does it mean that {thing} {state}?",
)
POLICY_EN = (
    "- Never {act} unless the user has confirmed it with an explicit yes.",
    "- When {thing} {state}, you may {act} {when}, but only once.",
    "- If {why}, explain it and offer to {act}.",
    "- A fee of {amount} applies if {thing} {state}.",
    "- Ask for the number (for example {id}) before you {act}.",
    "- Do not {act} and {act} in the same step.",
    "\n## Exceptions\nThe rule does not hold when {why}. In that case {thing} is handled in {city}.",
    "\n## Identification\nA user is identified by email or by name and postcode, because {why}.",
    "- Staff of {city} can {act}; pass the user on with a short summary.",
    "- No more than {n} requests a day; after that, the case rests until somebody can {act}.",
)
NOTES_EN = (
    "{thing} {state}",
    "{why}; asked {name} to {act}",
    "customer from {city} wants to {act} {when}",
    "see {id}: {why}",
)

# Answers and users of the other languages; their experts think in English, as most recorded ones do.
OTHERS: dict[str, tuple[dict[str, tuple[str, ...]], tuple[str, ...], tuple[str, ...]]] = {
    "de": (
        {
            "thing": (
                "die Buchung", "Ihre Bestellung", "der Termin", "die Rechnung", "das Paket", "der Mietvertrag",
                "die Rückerstattung", "das Benutzerkonto", "der Reparaturauftrag", "die Anmeldung zum Kurs",
            ),
            "state": (
                "bestätigt", "noch nicht freigegeben", "heute früh geändert worden", "vollständig bezahlt",
                "an die falsche Adresse gegangen", "zur Abholung bereit", "doppelt angelegt worden", "abgelaufen",
            ),
            "act": (
                "den Termin verschieben", "die Quittung noch einmal schicken", "kostenlos stornieren",
                "die Lieferadresse ändern", "den Gutschein einlösen", "eine Kollegin hinzuziehen",
                "die Gebühr streichen", "alles so lassen, wie es ist",
            ),
        },
        (
            "Laut unserem System ist {thing} {id} seit dem {date} {state}.",
            "Ich kann {act}, wenn Sie das möchten; dafür fallen {amount} an.",
            "Bitte beachten Sie: Wenn {thing} {state} ist, müssen wir zuerst {act}.",
            "Als Kontakt ist {name} ({email}) hinterlegt, zuständig ist die Stelle in {city}.",
            "Soll ich {act} oder lieber {act}?",
            "\n\n**Übersicht**\n- Nummer: {id}\n- Datum: {date}\n- Betrag: {amount}\n- Stand: {state}\n\n",
            "Das tut mir leid; wir werden bis zum {date} {act}.",
        ),
        (
            "Guten Tag, es geht um die Nummer {id}: Ist {thing} schon {state}?",
            "Könnten Sie bitte {act}? Ich heiße {name}.",
            "Ja, bitte {act}. Den Betrag von {amount} habe ich am {date} überwiesen.",
        ),
    ),
    "es": (
        {
            "thing": (
                "la reserva", "la factura", "la entrega", "la solicitud de reembolso", "la cita", "la garantía",
                "la inscripción", "la orden de reparación", "la tarjeta de regalo", "la cuenta de ahorro",
            ),
            "state": (
                "está confirmada", "sigue pendiente de aprobación", "se modificó esta mañana", "ya está pagada",
                "ha caducado", "necesita un documento más", "se envió a otra dirección", "está lista para recoger",
            ),
            "act": (
                "cambiar la fecha", "enviar de nuevo el recibo", "cancelarla sin coste", "añadir otro contacto",
                "aplicar el cupón", "corregir el nombre", "consultar con la otra oficina", "devolver la diferencia",
            ),
        },
        (
            "He comprobado que {thing} {id} {state} desde el {date}.",
            "Podemos {act} antes del {date}, con un cargo de {amount}.",
            "Como {thing} {state}, primero tendríamos que {act}.",
            "El contacto que figura es {name} ({email}), de la oficina de {city}.",
            "¿Prefiere {act} o {act}?",
            "\n\n**Resumen**\n- Número: {id}\n- Fecha: {date}\n- Importe: {amount}\n- Situación: {state}\n\n",
            "Lamento las molestias; vamos a {act} lo antes posible.",
        ),
        (
            "Hola, me llamo {name} y quisiera {act}, por favor. El número es {id}.",
            "Me dijeron que {thing} {state}, ¿es cierto?",
            "Sí, adelante. Pagué {amount} el {date}.",
        ),
    ),
    "fr": (
        {
            "thing": (
                "la réservation", "la facture", "la livraison", "la demande de remboursement", "l'inscription",
                "la garantie", "la commande", "l'attestation", "la carte cadeau", "l'assurance",
            ),
            "state": (
                "est confirmée", "attend encore une validation", "a été modifiée ce matin", "est entièrement réglée",
                "a expiré", "est prête à être retirée", "a été créée en double", "ne peut plus être modifiée",
            ),
            "act": (
                "changer la date", "renvoyer le reçu", "l'annuler sans frais", "ajouter un contact", "corriger le nom",
                "vérifier auprès de l'autre agence", "rembourser la différence", "utiliser le bon d'achat",
            ),
        },
        (
            "J'ai vérifié : {thing} {id} {state} depuis le {date}.",
            "Nous pouvons {act} avant le {date}, moyennant {amount}.",
            "Puisque {thing} {state}, il faudrait d'abord {act}.",
            "Le contact enregistré est {name} ({email}), à l'agence de {city}.",
            "Souhaitez-vous {act}, ou plutôt {act} ?",
            "\n\n**Récapitulatif**\n- Numéro : {id}\n- Date : {date}\n- Montant : {amount}\n\n",
            "Je suis désolée pour ce désagrément ; nous allons {act} dès que possible.",
        ),
        (
            "Bonjour, ici {name}. Pourriez-vous {act} ? Le numéro est {id}.",
            "On m'a dit que {thing} {state}. Est-ce exact ?",
            "Oui, allez-y. J'ai payé {amount} le {date}.",
        ),
    ),
    "ja": (
        {
            "thing": ("ご予約", "ご注文", "請求書", "配送", "返金の手続き", "修理の依頼", "講座の申し込み", "会員登録"),
            "state": ("確定しています", "承認を待っています", "今朝変更されました", "全額支払済みです", "期限切れです"),
            "act": ("日付を変更", "領収書を再送", "無料で取り消し", "連絡先を追加", "担当者に確認", "差額を返金"),
        },
        (
            "確認したところ、{thing}({id})は{date}の時点で{state}。",
            "ご希望であれば、{date}までに{act}することができます。手数料は{amount}です。",
            "登録されている連絡先は{name}様({email})、担当は{city}の窓口です。",
            "{thing}は{state}。そのため、まず{act}する必要があります。",
            "{act}いたしましょうか、それとも{act}いたしましょうか。",
        ),
        (
            "こんにちは、{name}です。番号は{id}です。{act}していただけますか。",
            "{thing}は{state}と聞きましたが、本当ですか。",
            "はい、お願いします。{date}に{amount}を支払いました。",
        ),
    ),
}  # fmt: skip
