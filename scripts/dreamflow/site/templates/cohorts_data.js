dreamflowText({{ value | tojson }});
