# A small office: three vms on one server, five people, any of whom may sit at any workstation.
# Bookkeeping is Charlie's by day, and the boss's in the evening. The web server under test is Maggie's on Mondays and
# Tuesdays, and Anne's on Wednesdays and Thursdays. The analysis is Ralph's and nobody else's, as long as the order runs.
spice:
  time: {zone: Europe/Berlin, longest_loan: 4h}
  servers:
    kvm:
      host: kvm.office.example
      addresses: [192.168.2.2]
      ports: 20001-20010
      ca: /etc/pki/spice/ca-cert.pem
  vms:
    books: {server: kvm, tls_port: 20002}
    web: {server: kvm, tls_port: 20004}
    analysis: {server: kvm, tls_port: 20006}
  schedules:
    office-hours:
      days: mon-fri
      hours: 08:00-18:00
      except: [2026-12-24/2027-01-01]
    evenings:
      days: mon-fri
      hours: 18:00-22:00
    maggies-days:
      days: [mon, tue]
      hours: 08:00-18:00
    annes-days:
      days: [wed, thu]
      hours: 08:00-18:00
      also: [2026-11-27]                 # a Friday: the release
  grants:
    charlie-books: {user: charlie, vm: books, schedule: office-hours, warn: [15m, 2m]}
    boss-books: {user: boss, vm: books, schedule: evenings, on_end: drain, grace: 30m}
    maggie-web: {user: maggie, vm: web, schedule: maggies-days}
    anne-web: {user: anne, vm: web, schedule: annes-days}
    ralph-analysis:
      user: ralph
      vm: analysis
      valid_from: 2026-11-02
      valid_until: 2027-03-31            # this day is the last one
      owner: boss
      reason: analysis for the agency, confidential
      ticket: ORDER-2026-17
