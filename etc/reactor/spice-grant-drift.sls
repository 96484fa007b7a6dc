# Only where the minion does not repair by itself. The id is whatever the minion says: as a list of one it stands for nobody
# else, whatever characters are in it.
{%- if data.get('repairing') is sameas false %}
repair:
  local.state.apply:
    - tgt: [{{ data['id'] | json }}]
    - tgt_type: list
    - args:
      - mods: spice
{%- endif %}
