"""Texts by language and their English: made of po/ by ``make messages``."""

# fmt: off
CATALOGUES: dict[str, dict[str, str]] = {
    "de": {
        "SPICE console closed":
            "SPICE-Konsole geschlossen",
        "SPICE console closes soon":
            "SPICE-Konsole schließt bald",
        "Your access to the console at {address} port {port} was removed.":
            "Ihr Zugang zur Konsole auf {address} Port {port} wurde aufgehoben.",
        "Your access to the console of VM {vm} is locked.":
            "Ihr Zugang zur Konsole der VM {vm} ist gesperrt.",
        "VM {vm} is locked.":
            "Die VM {vm} ist gesperrt.",
        "The loan of the console of VM {vm} has ended.":
            "Die Leihe der Konsole der VM {vm} ist zu Ende.",
        "Your access to the console of VM {vm} was removed.":
            "Ihr Zugang zur Konsole der VM {vm} wurde aufgehoben.",
        "The rules for the console of VM {vm} have changed: open it again.":
            "Die Regeln für die Konsole der VM {vm} haben sich geändert: Öffnen Sie sie neu.",
        "Mon Tue Wed Thu Fri Sat Sun":
            "Mo Di Mi Do Fr Sa So",
        "It opens again {when}.":
            "Sie öffnet wieder {when}.",
        "The window for the console of VM {vm} has ended.":
            "Das Zeitfenster für die Konsole der VM {vm} ist zu Ende.",
        "Your access to the console of VM {vm} has ended.":
            "Ihr Zugang zur Konsole der VM {vm} ist abgelaufen.",
        "The console of VM {vm} is closed now.":
            "Die Konsole der VM {vm} ist jetzt geschlossen.",
        "in {duration}":
            "in {duration}",
        "Your session at the console of VM {vm} ends at {when}.":
            "Ihre Sitzung an der Konsole der VM {vm} endet um {when}.",
        "The console of VM {vm} closes at {when}.":
            "Die Konsole der VM {vm} schließt um {when}.",
        "What you have open there may go on, but it cannot be opened again.":
            "Was Sie dort offen haben, darf weiterlaufen, lässt sich aber nicht neu öffnen.",
        "What you have open there may go on until {when}.":
            "Was Sie dort offen haben, darf bis {when} weiterlaufen.",
        "{hour} on {date}":
            "{hour} am {date}",
        "1 second":
            "1 Sekunde",
        "{number} seconds":
            "{number} Sekunden",
        "1 hour":
            "1 Stunde",
        "{number} hours":
            "{number} Stunden",
        "1 minute":
            "1 Minute",
        "{number} minutes":
            "{number} Minuten",
        "consoles are not opened this way on this machine":
            "Konsolen werden auf diesem Rechner nicht so geöffnet",
        "the viewer's group is your primary group":
            "die Gruppe des Viewers ist Ihre primäre Gruppe",
        "it is not granted to you":
            "sie ist Ihnen nicht erlaubt",
        "your administrator":
            "Ihre Administration",
        "it is locked: {what}":
            "sie ist gesperrt: {what}",
        "it is closed":
            "sie ist geschlossen",
        "it is closed, though what is open may go on":
            "sie ist geschlossen, doch was offen ist, darf weiterlaufen",
        "{closed}; opens {when}":
            "{closed}; öffnet {when}",
        "everything":
            "alles",
        "user {name}":
            "Benutzer {name}",
        "vm {name}":
            "VM {name}",
        "SPICE consoles":
            "SPICE-Konsolen",
        "Open the consoles that were granted to you":
            "Die Konsolen öffnen, die Ihnen erlaubt sind",
        "virtual machine;VM;remote;viewer;":
            "virtuelle Maschine;VM;entfernt;Viewer;",
        "Lists the SPICE consoles that were granted to you, and opens one.\n\nusage: rviewer [--list] [NAME]\n\n"
            "Without a name: opens your console if just one is open now; otherwise lists them or, without a "
            "terminal, lets you\nchoose. --list prints a name a line and, behind a tab, until when it is open or "
            "when it opens, if it is not always.\nExit codes: 0 opened or listed; 1 not allowed, closed now, or "
            "not possible, with the reason; 2 wrong usage; 3 the viewer\ncould not be started; 4 it ended with an "
            "error; 5 there is no desktop to show it on.":
            "Zeigt die SPICE-Konsolen, die Ihnen erlaubt sind, und öffnet eine.\n\nAufruf: rviewer [--list] [NAME]\n"
            "\nOhne NAME: öffnet Ihre Konsole, wenn gerade nur eine offen ist; sonst zeigt es alle oder lässt "
            "Sie, ohne Terminal, eine\nwählen. --list schreibt in jede Zeile einen Namen und nach einem "
            "Tabulator, bis wann die Konsole offen ist oder wann sie\nöffnet, wenn sie das nicht immer ist.\n"
            "Rückgabewerte: 0 geöffnet oder gezeigt; 1 nicht erlaubt, jetzt geschlossen oder nicht möglich, mit "
            "dem Grund; 2 falscher\nAufruf; 3 der Viewer ließ sich nicht starten; 4 er endete mit einem Fehler; 5 "
            "es gibt keinen Desktop, der ihn zeigt.",
        "usage: rviewer [--list] [NAME]":
            "Aufruf: rviewer [--list] [NAME]",
        "No SPICE console is granted to you on this machine. Ask {whom}.":
            "Auf diesem Rechner ist Ihnen keine SPICE-Konsole erlaubt. Fragen Sie {whom}.",
        "Your list of consoles cannot be read: {why}. Tell {whom}.":
            "Ihre Liste der Konsolen ist nicht lesbar: {why}. Wenden Sie sich an {whom}.",
        "{name}, locked":
            "{name}, gesperrt",
        "Closed now: {consoles}. If you need one sooner, ask {whom}.":
            "Jetzt geschlossen: {consoles}. Wenn Sie eine früher brauchen, fragen Sie {whom}.",
        "You may open:":
            "Öffnen dürfen Sie:",
        "Closed now:":
            "Jetzt geschlossen:",
        "Locked: {consoles}. Ask {whom}.":
            "Gesperrt: {consoles}. Fragen Sie {whom}.",
        "{name} is locked. Ask {whom}.":
            "{name} ist gesperrt. Fragen Sie {whom}.",
        "until {when}":
            "bis {when}",
        "closed, no further window is known":
            "geschlossen, kein weiteres Zeitfenster bekannt",
        "closed, opens {when}":
            "geschlossen, öffnet {when}",
        "{name}, no further window is known":
            "{name}, kein weiteres Zeitfenster bekannt",
        "{name}, opens {when}":
            "{name}, öffnet {when}",
        "You may not open {name}. You may open: {names}. If you need another one, ask {whom}.":
            "{name} dürfen Sie nicht öffnen. Öffnen dürfen Sie: {names}. Wenn Sie eine andere brauchen, fragen "
            "Sie {whom}.",
        "none":
            "keine",
        "{name} is closed now; no further window is known. Ask {whom}.":
            "{name} ist jetzt geschlossen; kein weiteres Zeitfenster ist bekannt. Fragen Sie {whom}.",
        "{name} is closed now; it opens {when}. If you need it sooner, ask {whom}.":
            "{name} ist jetzt geschlossen und öffnet {when}. Wenn Sie die Konsole früher brauchen, fragen Sie "
            "{whom}.",
        "Opening {name} asks for your password, and no program is installed that can ask for it on the "
            "desktop (as ssh-askpass). Run 'rviewer {name}' in a terminal, or tell {whom}.":
            "Zum Öffnen von {name} wird Ihr Passwort gebraucht, und kein Programm ist installiert, das auf dem "
            "Desktop danach fragen kann (wie ssh-askpass). Rufen Sie in einem Terminal 'rviewer {name}' auf, "
            "oder wenden Sie sich an {whom}.",
        "Your own password, to open the console {name}:":
            "Ihr eigenes Passwort, um die Konsole {name} zu öffnen:",
        "{program} cannot be started: {why}. Tell {whom}.":
            "{program} lässt sich nicht starten: {why}. Wenden Sie sich an {whom}.",
        "{name} cannot be opened: {why}. Ask {whom}.":
            "{name} lässt sich nicht öffnen: {why}. Fragen Sie {whom}.",
        "sudo ended with {code}":
            "sudo endete mit {code}",
        "open":
            "offen",
        "locked":
            "gesperrt",
        "Choose a console:":
            "Wählen Sie eine Konsole:",
        "Console":
            "Konsole",
        "Hours":
            "Zeiten",
        "Open":
            "Öffnen",
        "Cancel":
            "Abbrechen",
        "You may open: {names}. Name one: rviewer NAME.":
            "Öffnen dürfen Sie: {names}. Nennen Sie eine: rviewer NAME.",
        "SPICE console {name}":
            "SPICE-Konsole {name}",
        "it could not be recorded, as it must be: {why}":
            "es ließ sich nicht aufzeichnen, wie es vorgeschrieben ist: {why}",
        "{name} cannot be opened: {why}.":
            "{name} lässt sich nicht öffnen: {why}.",
        "the console":
            "die Konsole",
        "{name} cannot be opened: {why}. Tell your administrator.":
            "{name} lässt sich nicht öffnen: {why}. Wenden Sie sich an Ihre Administration.",
        "there is no desktop of this machine: neither DISPLAY nor WAYLAND_DISPLAY names one":
            "auf diesem Rechner ist kein Desktop: weder DISPLAY noch WAYLAND_DISPLAY nennt einen",
        "the viewer ended with {code}":
            "der Viewer endete mit {code}",
        "the file with your display's cookies {problem}":
            "die Datei mit den Cookies Ihres Displays: {problem}",
        "{name} was closed: {why}.":
            "{name} wurde geschlossen: {why}.",
        "{user} has it open since {since}":
            "{user} hat sie seit {since} offen",
        "{user} has opened it":
            "{user} hat sie geöffnet",
        "it has ended":
            "sie ist zu Ende",
        "somebody else has opened it":
            "jemand anderes hat sie geöffnet",
        "the KVM host knows of no grant that is yours":
            "der KVM-Host weiß von keiner Erlaubnis für Sie",
        "it is locked at the KVM host":
            "sie ist am KVM-Host gesperrt",
        "somebody else has it open":
            "jemand anderes hat sie offen",
        "somebody is just opening it: try again in a moment":
            "jemand öffnet sie gerade: Versuchen Sie es gleich noch einmal",
        "the KVM host keeps it shut: {why}":
            "der KVM-Host hält sie geschlossen: {why}",
        "this machine asks too often: try again in a moment":
            "dieser Rechner fragt zu oft: Versuchen Sie es gleich noch einmal",
        "the KVM host could not make a ticket: {why}":
            "der KVM-Host konnte kein Ticket ausstellen: {why}",
    },
}
